using System.Buffers.Binary;
using System.Text;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;

namespace Llama2.Simple.Formats;

/// <summary>Names what a file is by its first bytes, for the message about one that is not what was expected.</summary>
public static class FileKind
{
    public const string Checkpoint = "a checkpoint of llama2.c", Tokenizer = "a tokenizer of llama2.c", Session = "a saved session";
    public const string Gguf = "a GGUF file";
    public const int StartBytes = 256; // that tell the kind

    private const string OldGgml = "a file of ggml before GGUF; llama.cpp's converter makes GGUF of the original model";

    private static readonly (byte[] Start, string Kind)[] Known =
    [
        ("24ka"u8.ToArray(), Checkpoint),
        ("sS2l"u8.ToArray(), Session),
        ("version https://git-lfs"u8.ToArray(), "a Git LFS pointer; `git lfs pull` fetches the file itself"),
        (GgufFile.Magic.ToArray(), Gguf),
        ("PK\x3\x4"u8.ToArray(), "a zip archive; unpack it, or if PyTorch wrote it, convert it with llama2.c's export.py"),
        ([0x1f, 0x8b], "a gzip archive; gunzip unpacks it"),
        ([0xfd, .. "7zXZ"u8], "an xz archive; unxz unpacks it"),
        ([0x28, 0xb5, 0x2f, 0xfd], "a zstd archive; unzstd unpacks it"),
        ("BZh"u8.ToArray(), "a bzip2 archive; bunzip2 unpacks it"),
        ("lmgg"u8.ToArray(), OldGgml), // the letters of ggml, ggmf and ggjt as a little-endian number
        ("fmgg"u8.ToArray(), OldGgml),
        ("tjgg"u8.ToArray(), OldGgml),
        ([0x80, 0x02, 0x8a, 0x0a], "an old PyTorch file; load and save it with today's, and convert it with llama2.c's export.py"),
        ([0x0a, 0x0e, 0x0a, 0x05, .. "<unk>"u8], "a SentencePiece model; llama2.c's tokenizer.py makes a tokenizer.bin of it"),
    ];

    /// <summary>The error, or a clearer one if the file is known to be of another kind than the expected one.</summary>
    public static ModelFileException Explain(ModelFileException error, string expected, MappedFile file) =>
        Of(file.Start, file.Length) is { } found && found != expected
            ? new ModelFileException(error.Path, "file", expected, found, error)
            : error;

    /// <summary>The kind of a file, and for one of a foreign kind the advice; null if it is unknown.</summary>
    /// <param name="start">The file's first bytes, up to <see cref="StartBytes"/>.</param>
    /// <param name="length">Bytes of the whole file.</param>
    public static string? Of(ReadOnlySpan<byte> start, long length)
    {
        foreach ((byte[] known, string kind) in Known)
        {
            if (start.StartsWith(known))
                return kind;
        }
        if (IsLegacyCheckpoint(start, length))
            return Checkpoint;
        if (IsTokenizer(start))
            return Tokenizer;
        if (start.Length > 9 && start[8..].StartsWith("{\""u8) && BinaryPrimitives.ReadUInt64LittleEndian(start) < (ulong)length)
            return "a safetensors file, which is not read; llama2.c's export.py makes a checkpoint of it";
        return start.Length == StartBytes && !start.ContainsAnyExcept((byte)0) ? "zeros, as of a download that has not ended" : Text(start);
    }

    /// <summary>Whether tokens fill the start: each a score, a length up to the maximum, and so many bytes.</summary>
    private static bool IsTokenizer(ReadOnlySpan<byte> start)
    {
        const int Score = sizeof(float), Length = sizeof(int), MaxMaxLength = 1 << 16; // else four letters could be the maximum
        uint maxLength = start.Length < sizeof(uint) ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(start);
        if (maxLength is 0 or > MaxMaxLength)
            return false;
        int tokens = 0;
        for (long next = sizeof(uint); next + Score + Length <= start.Length; tokens++)
        {
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(start[((int)next + Score)..]);
            if (length > maxLength)
                return false;
            next += Score + Length + length;
        }
        return tokens > 2; // <unk>, <s> and </s>
    }

    private static bool IsLegacyCheckpoint(ReadOnlySpan<byte> start, long length)
    {
        try
        {
            CheckpointHeader.Parse(start, length, "");
            return true;
        }
        catch (ModelFileException)
        {
            return false;
        }
    }

    private static string? Text(ReadOnlySpan<byte> start)
    {
        if (start.Length < 8)
            return null;
        foreach (byte b in start)
        {
            if (b is < (byte)' ' and not ((byte)'\t' or (byte)'\n' or (byte)'\r') or 0x7f)
                return null;
        }
        string text = Encoding.UTF8.GetString(start).TrimStart('\ufeff', ' ', '\t', '\r', '\n');
        if (text.StartsWith("<!doctype html", StringComparison.OrdinalIgnoreCase)
            || text.StartsWith("<html", StringComparison.OrdinalIgnoreCase))
            return "an HTML page, perhaps of a login or an error; download the file itself";
        string line = text.Split('\r', '\n')[0];
        return $"a text, which begins \"{line[..Math.Min(line.Length, 40)]}\"";
    }
}
