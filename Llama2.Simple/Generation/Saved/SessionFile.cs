using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Llama2.Simple.Formats;

namespace Llama2.Simple.Generation.Saved;

/// <summary>A sequence as it is kept in a file: everything that its continuation depends on.</summary>
/// <param name="Tokens">All tokens, at least one. The last one is not in the cache: feeding it gives the logits to go on from.</param>
/// <param name="Cache">Keys and values of all tokens but the last.</param>
/// <param name="Notes">The program's own notes; empty if there are none.</param>
public sealed record SavedSession(int[] Tokens, KvCache Cache, float Temperature, float TopP, ulong RandomState, string Notes = "");

/// <summary>
/// Reads and writes saved sessions. All numbers are little-endian:
/// <code>
///   0  uint32      magic 0x6c325373
///   4  int32       version 1
///   8  byte[32]    fingerprint of the model
///  40  byte[8]     implementation that computed the cache, ASCII, zeros behind it: their last bits differ
///  48  int32[7]    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
///  76  float32[2]  temperature, top-p
///  84  int32       n, the number of tokens
///  88  uint64      state of the random numbers
///  96  int32       bytes of notes
/// 100  float32     0; readers ignore it (older programs wrote a time)
/// 104  int32[n] tokens, the notes in UTF-8, then for each layer float32[n - 1][kv_dim] keys and as many values
///      byte[32]    SHA-256 of all that
/// </code>
/// </summary>
public static class SessionFile
{
    private const uint Magic = 0x6c325373;
    private const int Version = 1, HeaderBytes = 104, ImplementationBytes = 8, MaxNotes = 1 << 24;

    /// <summary>Writes a session.</summary>
    /// <param name="session">The session; its cache may hold the last token too.</param>
    /// <param name="fingerprint"><see cref="ModelFingerprint.Of"/> the model.</param>
    /// <param name="implementation">Name of the implementation, up to 8 ASCII characters.</param>
    public static void Write(Stream stream, SavedSession session, Config config, ReadOnlySpan<byte> fingerprint, string implementation)
    {
        ArgumentOutOfRangeException.ThrowIfZero(session.Tokens.Length, nameof(session));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(session.Tokens.Length - 1, session.Cache.Length, nameof(session));
        byte[] notes = Encoding.UTF8.GetBytes(session.Notes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(notes.Length, MaxNotes, nameof(session));

        byte[] header = new byte[HeaderBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(4), Version);
        fingerprint.CopyTo(header.AsSpan(8, SHA256.HashSizeInBytes));
        Encoding.ASCII.GetBytes(implementation, header.AsSpan(40, ImplementationBytes));
        foreach ((int i, int value) in config.Fields.Index())
            BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(48 + i * sizeof(int)), value);
        BinaryPrimitives.WriteSingleLittleEndian(header.AsSpan(76), session.Temperature);
        BinaryPrimitives.WriteSingleLittleEndian(header.AsSpan(80), session.TopP);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(84), session.Tokens.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(88), session.RandomState);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(96), notes.Length);

        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(header);
        Append(MemoryMarshal.AsBytes<int>(session.Tokens));
        Append(notes);
        int floats = (session.Tokens.Length - 1) * config.KvDim;
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            Append(MemoryMarshal.AsBytes(session.Cache.Keys(layer)[..floats]));
            Append(MemoryMarshal.AsBytes(session.Cache.Values(layer)[..floats]));
        }
        stream.Write(hash.GetHashAndReset());

        void Append(ReadOnlySpan<byte> bytes)
        {
            stream.Write(bytes);
            hash.AppendData(bytes);
        }
    }

    /// <summary>Reads a session. Fields are checked against the model, and the length against them, before anything is allocated.</summary>
    /// <exception cref="ModelFileException">There is no such file, or it is no session of this model and implementation.</exception>
    public static SavedSession Read(string path, Config config, ReadOnlySpan<byte> fingerprint, string implementation)
    {
        using MappedFile file = MappedFile.Open(path);
        if (file.Length < HeaderBytes)
            throw Foreign(Wrong("file", $"{HeaderBytes} bytes or more", $"{file.Length}"));
        ReadOnlySpan<byte> header = file.Slice<byte>(0, HeaderBytes).Span;
        uint magic = BinaryPrimitives.ReadUInt32LittleEndian(header);
        if (magic != Magic)
            throw Foreign(Wrong("magic", $"0x{Magic:x8}, a saved session", $"0x{magic:x8}"));
        int version = BinaryPrimitives.ReadInt32LittleEndian(header[4..]);
        if (version != Version)
            throw Wrong("version", $"{Version}", $"{version}");
        foreach ((int i, int expected) in config.Fields.Index())
        {
            int found = BinaryPrimitives.ReadInt32LittleEndian(header[(48 + i * sizeof(int))..]);
            if (found != expected)
                throw Wrong(Config.FieldNames[i], $"{expected}, this model's", $"{found}: it is a session of another model");
        }
        if (!header.Slice(8, SHA256.HashSizeInBytes).SequenceEqual(fingerprint))
        {
            throw Wrong("fingerprint", $"{Convert.ToHexStringLower(fingerprint)[..16]}, this model's",
                $"{Convert.ToHexStringLower(header.Slice(8, 8))}: it is a session of another model of this shape");
        }
        string name = Encoding.Latin1.GetString(header.Slice(40, ImplementationBytes).TrimEnd((byte)0));
        if (name != implementation)
            throw Wrong("implementation", implementation, $"{(name.All(char.IsAsciiLetter) ? name : "another")}, whose last bits differ");

        float temperature = BinaryPrimitives.ReadSingleLittleEndian(header[76..]);
        float topp = BinaryPrimitives.ReadSingleLittleEndian(header[80..]);
        if (!(temperature >= 0))
            throw Wrong("temperature", "0 or more", $"{temperature}");
        if (!(topp is >= 0 and <= 1))
            throw Wrong("top-p", "0 to 1", $"{topp}");
        ulong random = BinaryPrimitives.ReadUInt64LittleEndian(header[88..]);
        if (random == 0)
            throw Wrong("random state", "not 0", "0");
        int count = BinaryPrimitives.ReadInt32LittleEndian(header[84..]);
        if (count < 1 || count - 1 > config.SeqLen)
            throw Wrong("tokens", $"1 to {config.SeqLen + 1L}", $"{count}");
        int noteBytes = BinaryPrimitives.ReadInt32LittleEndian(header[96..]);
        if (noteBytes is < 0 or > MaxNotes)
            throw Wrong("notes", $"0 to {MaxNotes} bytes", $"{noteBytes}");

        Int128 layerBytes = (Int128)(count - 1) * config.KvDim * sizeof(float) * 2;
        Int128 length = HeaderBytes + (Int128)count * sizeof(int) + noteBytes + layerBytes * config.LayerCount + SHA256.HashSizeInBytes;
        if (length != file.Length)
            throw Wrong("file", $"{length} bytes", $"{file.Length}");
        if (!Checksum(file).AsSpan().SequenceEqual(file.Slice<byte>(file.Length - SHA256.HashSizeInBytes, SHA256.HashSizeInBytes).Span))
            throw Wrong("checksum", "that of the contents", "another one: the file is damaged");

        int[] tokens = file.Slice<int>(HeaderBytes, count).ToArray();
        if (Array.Find(tokens, token => (uint)token >= (uint)config.VocabSize) is not 0 and int wrong)
            throw Wrong("tokens", $"ids below {config.VocabSize}", $"{wrong}");
        string notes = Encoding.UTF8.GetString(file.Slice<byte>(HeaderBytes + (long)count * sizeof(int), noteBytes).Span);
        return new SavedSession(tokens, ReadCache(), temperature, topp, random, notes);

        ModelFileException Wrong(string field, string expected, string found) => new(path, field, expected, found);
        ModelFileException Foreign(ModelFileException e) => FileKind.Explain(e, FileKind.Session, file);

        KvCache ReadCache()
        {
            KvCache cache = new(config, count - 1);
            int floats = (count - 1) * config.KvDim;
            long offset = HeaderBytes + (long)count * sizeof(int) + noteBytes;
            for (int layer = 0; layer < config.LayerCount; layer++, offset += (long)layerBytes)
            {
                file.Slice<float>(offset, floats).Span.CopyTo(cache.Keys(layer));
                file.Slice<float>(offset + (long)floats * sizeof(float), floats).Span.CopyTo(cache.Values(layer));
            }
            for (int i = 0; i < count - 1; i++)
                cache.Advance();
            return cache;
        }
    }

    private static byte[] Checksum(MappedFile file)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long end = file.Length - SHA256.HashSizeInBytes;
        for (long offset = 0; offset < end; offset += 1 << 20)
            hash.AppendData(file.Slice<byte>(offset, (int)Math.Min(1 << 20, end - offset)).Span);
        return hash.GetHashAndReset();
    }
}
