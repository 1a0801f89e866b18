using System.Buffers.Binary;
using System.Text;
using Llama2.Fast;
using Llama2.Simple.Formats.Gguf;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Simple.Formats;

/// <summary>The faults that were reported of other programs' readers of GGUF, each as a file: one error, and memory stays small.</summary>
public sealed class HostileGgufTests
{
    private const long Megabyte = 1 << 20;

    private static readonly byte[] Good = SmallGguf.Create();
    private static readonly List<SmallGguf.Place> Places = SmallGguf.Counts(Good);

    /// <summary>Fields of a tensor, as "place+offset=value", separated by blanks.</summary>
    [Theory]
    [InlineData("dims=0", "dimension 0 of 0")] // divided by
    [InlineData("dims+8=0", "dimension 1 of 0")]
    [InlineData("dims=4294967296 dims+8=4294967296", "dimension 1 of 4294967296")] // 2^64 elements are 0 in 64 bits
    [InlineData("dims=4611686018427387904 dims+8=4", "dimension 1 of 4")]
    [InlineData("dims=2305843009213693952 dims+8=1", "the file may have been cut")] // 2^61 elements of 4 bytes
    [InlineData("dims=9223372036854775807 dims+8=1", "the file may have been cut")]
    [InlineData("dims=9223372036854775808 dims+8=1", "dimension 0 of 9223372036854775808")] // negative
    [InlineData("dims=18446744073709551615 dims+8=18446744073709551615", "dimension 0 of 18446744073709551615")]
    [InlineData("offset=18446744073709551584", "the file may have been cut")] // and its end is before its beginning
    [InlineData("offset=9223372036854775776", "the file may have been cut")]
    [InlineData("offset=9223372036854775808", "the file may have been cut")]
    [InlineData("offset=1", "expected a multiple of the alignment 32, found 1")]
    [InlineData("offset=544", "expected an offset of at least")] // where the next tensor begins but one
    [InlineData("dims-4=0", "n_dims: expected 1 to 4, found 0", 4)]
    [InlineData("dims-4=5", "n_dims: expected 1 to 4, found 5", 4)]
    [InlineData("dims-4=4294967295", "n_dims: expected 1 to 4, found 4294967295", 4)]
    [InlineData("offset-4=4", "requantise the model, found q4_2", 4)] // types that ggml took back
    [InlineData("offset-4=31", "requantise the model, found q4_0_4_4", 4)]
    [InlineData("offset-4=38", "requantise the model, found iq4_nl_8_8", 4)]
    [InlineData("offset-4=2147483648", "requantise the model, found ggml type 2147483648", 4)]
    [InlineData("offset-4=4294967295", "requantise the model, found ggml type 4294967295", 4)]
    [InlineData("offset-4=24", "requantise the model, found i8", 4)] // a type that is no weight's
    [InlineData("offset-4=2", "rows of a multiple of q4_0's 32, found 8", 4)]
    public void A_tensor_that_cannot_be_is_refused(string changes, string reason, int width = 8)
    {
        byte[] bytes = [.. Good];
        foreach (string[] change in changes.Split(' ').Select(change => change.Split('=')))
        {
            int sign = change[0].IndexOfAny(['+', '-']);
            string place = sign < 0 ? change[0] : change[0][..sign];
            int offset = Places.Find(p => p.Name == $"token_embd.weight: {place}")!.Offset + (sign < 0 ? 0 : int.Parse(change[0][sign..]));
            BitConverter.GetBytes(ulong.Parse(change[1])).AsSpan(0, width).CopyTo(bytes.AsSpan(offset));
        }
        using TemporaryFile file = new(bytes);
        Assert.Contains(reason, Refuse(file.Path, Megabyte), StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_is_not_empty_nor_longer_than_64_bytes()
    {
        foreach (string name in new[] { "", new string('n', 65), new string('n', 100_000) })
        {
            using TemporaryFile file = new(SmallGguf.Create(tensors: tensors => tensors.Add((name, [4]))));
            Assert.Equal($"tensor 20: expected a name of 1 to 64 bytes, found {name.Length}", Refuse(file.Path, Megabyte));
        }
    }

    [Fact]
    public void Version_2_has_counts_of_64_bits_and_version_1_has_not()
    {
        byte[] bytes = [.. Good];
        bytes[4] = 2;
        using (TemporaryFile file = new(bytes))
        using (ModelFile model = ModelFile.Open(file.Path))
            Assert.Equal(("GGUF v2", SmallGguf.Config), (model.Format, model.Config));
        bytes[4] = 1;
        using TemporaryFile narrow = new(bytes);
        Refuse(narrow.Path, Megabyte);
    }

    public static TheoryData<string, string, string> Alignments => new()
    {
        { "5", "40000000", "" }, // a power of two in an int32, which is all one needs to know
        { "10", "2000000000000000", "" },
        { "5", "00000080", "expected a whole number from 1 to 1048576, found -2147483648" },
        { "5", "FFFFFFFF", "expected a whole number from 1 to 1048576, found -1" },
        { "10", "0000000000000080", "found 9223372036854775808" },
        { "10", "2000000001000000", "expected a whole number from 1 to 1048576, found 4294967328" }, // 32 in 32 bits
        { "4", "00000000", "found 0" },
        { "4", "30000000", "expected a power of two, found 48" },
        { "6", "00000042", "expected a whole number, found f32" },
        { "8", "02000000000000003332", "expected a whole number, found text" },
        { "9", "04000000010000000000000020000000", "expected a whole number, found array" },
    };

    [Theory, MemberData(nameof(Alignments))]
    public void An_alignment_may_have_any_integer_type_and_no_other(string type, string hex, string reason)
    {
        using RawGguf raw = new();
        string path = raw.Add(GgufFile.AlignmentKey, uint.Parse(type), Convert.FromHexString(hex)).Finish();
        if (reason.Length > 0)
        {
            Assert.Contains(reason, Refuse(path, Megabyte), StringComparison.Ordinal);
            return;
        }
        using GgufFile file = GgufFile.Open(path);
        Assert.True(file.Alignment is 32 or 64);
    }

    /// <summary>Arrays of every type of element in place of each array of a tokenizer, and numbers in place of arrays.</summary>
    [Theory]
    [InlineData("tokens", "8")]
    [InlineData("scores", "6 12")]
    [InlineData("token_type", "0 1 2 3 4 5 10 11")]
    [InlineData("merges", "8")]
    public void Arrays_of_a_tokenizer_are_read_as_what_they_are(string array, string readable)
    {
        int[] sizes = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8]; // of an element of zeros: empty texts and arrays too
        for (uint type = 0; type < sizes.Length; type++)
        {
            using RawGguf file = Tokenizer(array == "merges" ? "gpt2" : "llama", except: array)
                .AddArray($"tokenizer.ggml.{array}", type, 3, new byte[3 * sizes[type]]);
            AssertMakes(file.Finish(), readable.Split(' ').Contains($"{type}"), $"an array of {(GgufValueType)type}");
        }
        foreach (uint type in new[] { RawGguf.U32, RawGguf.F32 })
        {
            using RawGguf file = Tokenizer("llama", except: array).Add($"tokenizer.ggml.{array}", type, 3, 0, 0, 0);
            AssertMakes(file.Finish(), array == "merges", $"{(GgufValueType)type}"); // sentencepiece's have no merges
        }

        static void AssertMakes(string path, bool isReadable, string what)
        {
            Exception? error = Record.Exception(() => Encode(path, Megabyte));
            if (error is not null)
                Assert.IsType<ModelFileException>(error);
            bool isOfAnotherType = error?.Message.EndsWith($"found {what.ToLowerInvariant()}", StringComparison.Ordinal) ?? false;
            Assert.Equal(!isReadable, isOfAnotherType);
        }
    }

    [Theory]
    [InlineData("<0x-1>")]
    [InlineData("<0xG0>")]
    [InlineData("<0x100>")]
    [InlineData("<0x0>")]
    [InlineData("<0x>")]
    [InlineData("<0xFFFFFFFF>")]
    [InlineData("")]
    public void A_piece_of_a_byte_that_is_none_is_never_written_for_one(string piece)
    {
        using RawGguf file = new();
        string path = file.Add("tokenizer.ggml.model", "llama").AddTexts("tokenizer.ggml.tokens", "<unk>", "<s>", "</s>", piece)
            .AddArray("tokenizer.ggml.scores", RawGguf.F32, 4, new byte[16])
            .AddArray("tokenizer.ggml.token_type", RawGguf.U8, 4, 2, 3, 3, 6).Finish();
        foreach (ITokenizer tokenizer in Encode(path, Megabyte))
        {
            byte[] all = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];
            Assert.All(tokenizer.EncodeBytes(all), id => Assert.Equal(0, id));
            Assert.Equal(piece, Encoding.UTF8.GetString(tokenizer.Decode(0, 3)));
        }
    }

    /// <summary>Files of a few kilobytes on a disk, which are long all the same: what they hold is a hole.</summary>
    [Theory]
    [InlineData("pieces", "tokenizer.ggml.tokens: expected 1 to 1048576 pieces, found 8000000", 1)]
    [InlineData("pieces as many as may be", "tokenizer.ggml.scores: expected a score for each piece, found nothing", 100)]
    [InlineData("scores", "tokenizer.ggml.scores: expected 3 scores, as there are pieces, found 15000000", 1)]
    [InlineData("types", "tokenizer.ggml.token_type: expected 3 types, as there are pieces, found 60000000", 1)]
    [InlineData("merges", "tokenizer.ggml.merges: expected at most 1048576 pairs, found 7000000", 1)]
    [InlineData("heads", "llama.attention.head_count: expected a number for each of 2 layers, found 60000000", 1)]
    [InlineData("architecture", "general.architecture: expected llama: Llama 1 to 3.2", 130)]
    [InlineData("key", "key 0: expected at most 65535 bytes, found 60000000", 1)]
    [InlineData("key of zeros", ": expected a key that occurs once, found it again", 1)]
    [InlineData("arrays", "tokenizer.ggml.tokens: expected an array of strings, found an array of array", 1)]
    [InlineData("string beyond the header", "of metadata that are read, found 67108864", 1)]
    [InlineData("array beyond the header", "of metadata that are read, found 10000000", 1)]
    public void What_a_hole_says_takes_little_memory(string what, string reason, int megabytes)
    {
        using RawGguf raw = what is "scores" or "types" ? Tokenizer("llama", except: what == "types" ? "token_type" : what)
            : what == "merges" ? Tokenizer("gpt2", except: what) : new();
        raw.Add("llama.block_count", RawGguf.U32, 2, 0, 0, 0).Add("llama.embedding_length", RawGguf.U32, 8, 0, 0, 0);
        if (what is not ("architecture" or "key"))
            raw.Add("general.architecture", "llama");
        if (what is "pieces" or "pieces as many as may be" or "arrays")
            raw.Add("tokenizer.ggml.model", "llama");
        Action hole = what switch
        {
            "pieces" => () => raw.AddArray("tokenizer.ggml.tokens", RawGguf.Text, 8_000_000).Hole(64_000_000),
            "pieces as many as may be" => () => raw.AddArray("tokenizer.ggml.tokens", RawGguf.Text, 1 << 20).Hole(1 << 23),
            "scores" => () => raw.AddArray("tokenizer.ggml.scores", RawGguf.F32, 15_000_000).Hole(60_000_000),
            "types" => () => raw.AddArray("tokenizer.ggml.token_type", RawGguf.U8, 60_000_000).Hole(60_000_000),
            "merges" => () => raw.AddArray("tokenizer.ggml.merges", RawGguf.Text, 7_000_000).Hole(56_000_000),
            "heads" => () => raw.AddArray("llama.attention.head_count", RawGguf.U8, 60_000_000).Hole(60_000_000),
            "architecture" => () => raw.Add("general.architecture", RawGguf.Text, BitConverter.GetBytes(60_000_000L)).Hole(60_000_000),
            "arrays" => () => raw.AddArray("tokenizer.ggml.tokens", RawGguf.Array, 1_000_000).Hole(12_000_000),
            "string beyond the header" => () => raw.Add("a", RawGguf.Text, BitConverter.GetBytes(1L << 26)).Hole(1 << 27),
            "array beyond the header" => () => raw.AddArray("a", RawGguf.Text, 10_000_000).Hole(1 << 27),
            _ => () => raw.Hole(1 << 27),
        };
        hole();
        string path = raw.Finish();
        if (what == "key")
            WriteFirstKey(path, 60_000_000);
        else if (what == "key of zeros")
            WriteKeys(path, 60_000);
        string found = what is "pieces" or "pieces as many as may be" or "scores" or "types" or "merges" or "arrays"
            ? Measure(() => Encode(path, long.MaxValue), megabytes) : Refuse(path, megabytes * Megabyte);
        Assert.Contains(reason, found, StringComparison.Ordinal);

        static string Measure(Action action, int megabytes)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            ModelFileException error = Assert.Throws<ModelFileException>(action);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, megabytes * Megabyte);
            return error.Reason;
        }
    }

    [Fact]
    public void A_chat_template_of_many_megabytes_is_none_that_is_known()
    {
        const string Part = "<|im_start|>system<|im_end|>"; // looked for from each place where it begins, to the end
        Assert.NotNull(ChatTemplateRecognition.Recognise(Part));
        string huge = string.Concat(Enumerable.Repeat(Part, 100_000));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Null(ChatTemplateRecognition.Recognise(huge));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, Megabyte);
    }

    [Fact]
    public void Of_many_user_defined_pieces_the_longest_is_found()
    {
        Random random = new(3);
        byte[][] pieces = [.. Enumerable.Range(0, 300).Select(_ => Letters(random.Next(6)))];
        Vocabulary vocabulary = new(pieces, [.. pieces.Select(_ => PieceType.UserDefined)], 0, [0]);
        for (int i = 0; i < 1000; i++)
        {
            byte[] text = Letters(1 + random.Next(8));
            int longest = Enumerable.Range(0, pieces.Length).Where(id => pieces[id].Length > 0 && vocabulary.IsText(id)
                && text.AsSpan().StartsWith(pieces[id])).DefaultIfEmpty(-1).MaxBy(id => id < 0 ? 0 : pieces[id].Length);
            Assert.Equal(longest < 0 ? null : longest, vocabulary.UserDefinedAt(text));
        }

        byte[] Letters(int length) => [.. Enumerable.Range(0, length).Select(_ => (byte)random.Next(253, 256))];
    }

    [Theory]
    [InlineData("itself by a link", "split.no: expected 1, found 0")]
    [InlineData("itself copied", "split.no: expected 1, found 0")]
    [InlineData("a part of more", "split.count: expected 2, as in the first part, found 3")]
    [InlineData("a file that is no part", "split.count: expected 2, as in the first part, found ")]
    [InlineData("a part of a model of another number of tensors", "split.tensors.count: expected 20, as in the first part, found 29")]
    [InlineData("a part with too few tensors", "split.tensors.count: expected the 19 tensors of all parts, found 20")]
    [InlineData("a part with a tensor of the first", "token_embd.weight: expected a tensor that occurs once, found it in several parts")]
    [InlineData("a part of another shape", "output_norm.weight: expected a tensor of 8, found 12")]
    [InlineData("a checkpoint", "magic: expected GGUF, found another")]
    [InlineData("a folder", "file: expected a file, found a folder")]
    [InlineData("an empty file", "file: expected a file with contents, found an empty file")]
    public void Parts_that_do_not_belong_together_are_refused(string second, string reason)
    {
        string folder = Directory.CreateTempSubdirectory("llama2-").FullName;
        try
        {
            string[] paths = [.. Enumerable.Range(1, 2).Select(i => Path.Combine(folder, $"m-0000{i}-of-00002.gguf"))];
            File.WriteAllBytes(paths[0], Part(0));
            if (second == "itself by a link")
                File.CreateSymbolicLink(paths[1], paths[0]);
            else if (second == "a folder")
                Directory.CreateDirectory(paths[1]);
            else
            {
                File.WriteAllBytes(paths[1], second switch
                {
                    "itself copied" => Part(0),
                    "a part of more" => Part(1, count: 3),
                    "a file that is no part" => SmallGguf.Create(),
                    "a part of a model of another number of tensors" => Part(1, total: 29),
                    "a part with too few tensors" => Part(1, change: tensors => tensors.RemoveAt(0)),
                    "a part with a tensor of the first" => Part(1, change: tensors => tensors[0] = ("token_embd.weight", [8, 16])),
                    "a part of another shape" => Part(1, change: tensors => tensors[^1] = ("output_norm.weight", [12])),
                    "a checkpoint" => ModelShape.Tiny.CreateFile(),
                    _ => [],
                });
            }
            long before = GC.GetAllocatedBytesForCurrentThread();
            ModelFileException error = Assert.Throws<ModelFileException>(() => ModelFile.Open(paths[0]).Dispose());
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, Megabyte);
            Assert.StartsWith(reason, error.Reason, StringComparison.Ordinal);
            Assert.Contains(error.Path, paths);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        static byte[] Part(uint number, uint count = 2, uint total = 20, Action<List<(string Name, long[] Dimensions)>>? change = null) =>
            SmallGguf.Create(
                metadata: values =>
                {
                    if (number > 0)
                        values.Clear();
                    (values["split.no"], values["split.count"], values["split.tensors.count"]) = (number, count, total);
                },
                tensors: tensors =>
                {
                    tensors.RemoveRange(number == 0 ? 10 : 0, 10);
                    change?.Invoke(tensors);
                });
    }

    private static RawGguf Tokenizer(string model, string except)
    {
        RawGguf file = new();
        file.Add("tokenizer.ggml.model", model);
        if (model == "gpt2")
            file.Add("tokenizer.ggml.pre", "gpt-2");
        if (except != "tokens")
            file.AddTexts("tokenizer.ggml.tokens", "<unk>", "<s>", "</s>");
        if (except != "scores" && model == "llama")
            file.AddArray("tokenizer.ggml.scores", RawGguf.F32, 3, new byte[12]);
        return file;
    }

    // Both twins of the tokenizer in a file, after each has encoded a text.
    private static ITokenizer[] Encode(string path, long maxAllocated)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        using GgufFile file = GgufFile.Open(path);
        ITokenizer simple = GgufTokenizer.Create(file.Metadata), fast = FastTokenizer.Of(simple);
        int[] ids = simple.Encode("a text <0x-1>\0\n"u8);
        Assert.Equal(ids, fast.Encode("a text <0x-1>\0\n"u8));
        Assert.All(ids, id => Assert.InRange(id, 0, simple.VocabSize - 1));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, maxAllocated);
        return [simple, fast];
    }

    private static void WriteFirstKey(string path, ulong length)
    {
        using FileStream stream = File.OpenWrite(path);
        stream.Position = 24;
        stream.Write(BitConverter.GetBytes(length));
    }

    // So many keys, of which those after the last that was written are zeros: an empty name and a uint8 of 0.
    private static void WriteKeys(string path, ulong keys)
    {
        using FileStream stream = File.OpenWrite(path);
        stream.Position = 16;
        stream.Write(BitConverter.GetBytes(keys));
        stream.SetLength(1 << 22); // so long that the file is mapped: a copy would count
    }

    private static string Refuse(string path, long maxAllocated)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        ModelFileException error = Assert.Throws<ModelFileException>(() => ModelFile.Open(path).Dispose());
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, maxAllocated);
        Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        Assert.InRange(error.Message.Length, 0, 1000);
        return error.Reason;
    }
}
