using System.Buffers.Binary;
using System.Security.Cryptography;
using FsCheck;
using FsCheck.Fluent;
using Llama2.Tests.Properties;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Simple.Generation;

public sealed class SessionFileTests : IDisposable
{
    private static readonly Config Shape = new(8, 12, 2, 4, 2, 20, 16);
    private static readonly byte[] Fingerprint = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];

    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    private static SavedSession Sample(int tokens = 5, string notes = "{\"ü\":1}")
    {
        KvCache cache = new(Shape);
        cache.EnsureCapacity(tokens - 1);
        for (int position = 0; position < tokens - 1; position++)
        {
            for (int layer = 0; layer < Shape.LayerCount; layer++)
            {
                cache.Key(layer, position).Fill(position + 0.25f * layer);
                cache.Value(layer, position).Fill(-position - 0.25f * layer);
            }
            cache.Advance();
        }
        return new SavedSession([.. Enumerable.Range(1, tokens)], cache, 0.75f, 0.5f, 0xFEDCBA9876543210, notes);
    }

    private byte[] Save(SavedSession session)
    {
        using MemoryStream stream = new();
        SessionFile.Write(stream, session, Shape, Fingerprint, "simple");
        byte[] bytes = stream.ToArray();
        File.WriteAllBytes(_path, bytes);
        return bytes;
    }

    private SavedSession Load(string implementation = "simple") => SessionFile.Read(_path, Shape, Fingerprint, implementation);

    /// <summary>The field that reading these bytes complains about; their checksum is made right first.</summary>
    private string Complaint(byte[] bytes, bool checksum = true)
    {
        if (checksum && bytes.Length > 32)
            SHA256.HashData(bytes.AsSpan(0, bytes.Length - 32)).CopyTo(bytes.AsSpan(bytes.Length - 32));
        File.WriteAllBytes(_path, bytes);
        ModelFileException e = Assert.Throws<ModelFileException>(() => Load());
        Assert.StartsWith($"{_path}: {e.Field}: expected ", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
        return e.Field;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(17)] // a full context and the token that no longer fits
    public void What_was_written_is_read(int tokens)
    {
        SavedSession written = Sample(tokens);
        Save(written);
        SavedSession read = Load();
        Assert.Equal(written.Tokens, read.Tokens);
        Assert.Equal((0.75f, 0.5f, 0xFEDCBA9876543210, "{\"ü\":1}"), (read.Temperature, read.TopP, read.RandomState, read.Notes));
        Assert.Equal(tokens - 1, read.Cache.Length);
        for (int layer = 0; layer < Shape.LayerCount; layer++)
        {
            for (int position = 0; position < tokens - 1; position++)
            {
                Assert.Equal(written.Cache.Key(layer, position), read.Cache.Key(layer, position));
                Assert.Equal(written.Cache.Value(layer, position), read.Cache.Value(layer, position));
            }
        }
    }

    [Theory]
    [InlineData(0, 1, "magic")]
    [InlineData(4, 2, "version")]
    [InlineData(8, 99, "fingerprint")]
    [InlineData(40, 'f', "implementation")]
    [InlineData(48, 9, "dim")]
    [InlineData(72, 0, "seq_len")]
    [InlineData(79, 0xC0, "temperature")]
    [InlineData(83, 0x40, "top-p")]
    [InlineData(84, 0, "tokens")]
    [InlineData(84, 18, "tokens")]
    [InlineData(84, 6, "file")]
    [InlineData(87, 0x80, "tokens")]
    [InlineData(96, 0, "file")]
    [InlineData(99, 0x40, "notes")]
    [InlineData(104, 20, "tokens")]
    [InlineData(107, 0x80, "tokens")]
    public void A_wrong_field_is_named(int offset, int value, string field)
    {
        byte[] bytes = Save(Sample());
        bytes[offset] = (byte)value;
        Assert.Equal(field, Complaint(bytes));
    }

    [Fact]
    public void The_time_that_older_programs_wrote_is_ignored()
    {
        byte[] bytes = Save(Sample());
        BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(100), 1.5f);
        SHA256.HashData(bytes.AsSpan(..^32), bytes.AsSpan(^32..));
        File.WriteAllBytes(_path, bytes);
        Assert.Equal(Sample().Tokens, Load().Tokens);
    }

    [Fact]
    public void A_random_state_of_zero_is_refused()
    {
        byte[] bytes = Save(Sample());
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(88), 0);
        Assert.Equal("random state", Complaint(bytes));
    }

    [Fact]
    public void Another_implementations_session_is_refused()
    {
        Save(Sample());
        ModelFileException e = Assert.Throws<ModelFileException>(() => Load("fast"));
        Assert.Contains("implementation: expected fast, found simple", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cut_or_grown_file_is_refused()
    {
        byte[] bytes = Save(Sample());
        for (int length = 0; length < bytes.Length; length++)
            Assert.Equal("file", Complaint(bytes[..length], checksum: false));
        Assert.Equal("file", Complaint([.. bytes, 0], checksum: false));
    }

    [Fact]
    public void No_changed_byte_goes_unnoticed()
    {
        byte[] bytes = Save(Sample());
        Prop.ForAll(Gen.Choose(0, bytes.Length - 1).Zip(Gen.Choose(1, 255)).ToArbitrary(), change =>
        {
            byte[] changed = [.. bytes];
            changed[change.Item1] ^= (byte)change.Item2;
            Complaint(changed, checksum: false);
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void A_folder_or_no_file_is_refused()
    {
        Assert.Equal("file", Assert.Throws<ModelFileException>(() => SessionFile.Read(Path.GetTempPath(), Shape, Fingerprint, "simple"))
            .Field);
        Assert.Equal("file", Assert.Throws<ModelFileException>(() => SessionFile.Read(_path + ".none", Shape, Fingerprint, "simple"))
            .Field);
    }

    [Fact]
    public void A_fingerprint_is_the_models_and_not_the_files()
    {
        byte[] v0 = Of(Repository.Weights("tales659K.bin"));
        Assert.Equal(v0, Of(Repository.Golden("tales659K_v1.bin")));
        Assert.NotEqual(v0, Of(Repository.Golden("tales659K_q80.bin")));

        byte[] bytes = File.ReadAllBytes(Repository.Weights("tales659K.bin"));
        bytes[CheckpointHeaderBytes + 5] ^= 1; // one bit of one weight
        File.WriteAllBytes(_path, bytes);
        Assert.NotEqual(v0, Of(_path));

        static byte[] Of(string path)
        {
            using Checkpoint checkpoint = Checkpoint.Open(path);
            return ModelFingerprint.Of(checkpoint.Config, checkpoint.Weights);
        }
    }

    /// <summary>Every tensor counts, by its first element and its last.</summary>
    [Theory]
    [InlineData(1, true)]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(2, false)]
    public void A_fingerprint_is_that_of_all_tensors(int version, bool shared)
    {
        ModelShape shape = ModelShape.Tiny with { Version = version, Shared = shared };
        byte[] file = shape.CreateFile();
        HashSet<string> fingerprints = [Of(file)];
        int offset = shape.Header.Bytes, changes = 0;
        foreach (TensorSpec tensor in shape.Header.Tensors())
        {
            for (int i = 0; i < tensor.Count; i++, offset += (int)tensor.Bytes)
            {
                foreach (int at in new[] { offset, offset + (int)tensor.Bytes - 1 })
                {
                    byte[] changed = [.. file];
                    changed[at] ^= 1;
                    fingerprints.Add(Of(changed));
                    changes++;
                }
            }
        }
        Assert.Equal(file.Length, offset);
        Assert.Equal(1 + changes, fingerprints.Count);

        static string Of(byte[] file)
        {
            using TemporaryFile temporary = new(file);
            using Checkpoint checkpoint = Checkpoint.Open(temporary.Path);
            return Convert.ToHexString(ModelFingerprint.Of(checkpoint.Config, checkpoint.Weights));
        }
    }

    private const int CheckpointHeaderBytes = 28;
}
