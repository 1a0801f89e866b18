using System.Numerics;
using Llama2.Simple.Tensors;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>
/// One GGUF file of version 1, 2 or 3, little-endian:
/// <code>
///   char[4] "GGUF"; uint32 version; count n_tensors; count n_kv      (a count is a uint64, in version 1 a uint32)
///   n_kv *      { string key; uint32 type; value }                   (a string is a count and so many bytes)
///   n_tensors * { string name; uint32 n_dims; count dims[n_dims]; uint32 type; uint64 offset }
///   padding up to general.alignment; the tensors' data, which their offsets count from
/// </code>
/// Everything is checked before it sizes anything: lengths and counts against the file's bytes, tensors against its end and each other.
/// </summary>
public sealed class GgufFile : IDisposable
{
    public const string AlignmentKey = "general.alignment";

    private const int MaxHeaderBytes = 1 << 26; // eight times Llama 3's vocabulary; a file of holes must not be read for minutes
    private const int MaxKeys = 1 << 16, MaxTensors = 1 << 18, MaxDimensions = 4, MaxNameBytes = 64;
    private const int DefaultAlignment = 32, MaxAlignment = 1 << 20;
    private const int MinKeyBytes = 9, MinTensorBytes = 24; // of version 1, the shortest

    private readonly MappedFile _file;

    private GgufFile(MappedFile file, string path)
    {
        (_file, Path) = (file, path);
        ReadOnlyMemory<byte> bytes = file.Slice<byte>(0, (int)Math.Min(file.Length, MaxHeaderBytes));
        GgufReader reader = new(bytes, path, file.Length > MaxHeaderBytes ? "of metadata that are read" : "left in the file");
        if (!reader.Take(Magic.Length, "magic").SequenceEqual(Magic))
            throw reader.Error("magic", "GGUF", "another");
        Version = ReadVersion(reader);
        reader.IsWide = Version > 1;
        int tensors = ReadCount(reader, "n_tensors", MinTensorBytes, MaxTensors);
        int keys = ReadCount(reader, "n_kv", MinKeyBytes, MaxKeys);
        Metadata = new GgufMetadata(reader, bytes, keys, path);
        Alignment = Metadata.GetInteger(AlignmentKey, 1, MaxAlignment) ?? DefaultAlignment;
        if (!BitOperations.IsPow2(Alignment))
            throw Metadata.Error(AlignmentKey, "a power of two", $"{Alignment}");

        (string Name, long[] Dimensions, GgmlType Type, ulong Offset)[] infos = new (string, long[], GgmlType, ulong)[tensors];
        for (int i = 0; i < tensors; i++)
            infos[i] = ReadInfo(reader, i);
        DataOffset = (reader.Position + (long)Alignment - 1) & -(long)Alignment;
        Tensors = [.. infos.Select(info => Place(reader, info.Name, info.Dimensions, info.Type, info.Offset))];
        CheckOverlaps(reader);
    }

    public static ReadOnlySpan<byte> Magic => "GGUF"u8;

    /// <summary>Whether a file is of this format.</summary>
    public static bool IsStartOf(MappedFile file) => file.Start.StartsWith(Magic);

    public string Path { get; } // as it was given
    public int Version { get; }
    public GgufMetadata Metadata { get; }
    public int Alignment { get; }
    public long DataOffset { get; } // where the tensors' data begin
    public IReadOnlyList<GgufTensor> Tensors { get; }
    public long Length => _file.Length;

    /// <summary>Opens a file, whatever its architecture.</summary>
    /// <exception cref="ModelFileException">There is no such file, or it is wrong.</exception>
    public static GgufFile Open(string path) => MappedFile.Open(path).GiveTo(file => Open(file, path));

    /// <summary>The same of a mapped file, which belongs to what is opened from now on.</summary>
    /// <exception cref="ModelFileException">The file is wrong; it is still the caller's.</exception>
    public static GgufFile Open(MappedFile file, string path) => new(file, path);

    /// <exception cref="ModelFileException">Another program has shortened the file since it was opened.</exception>
    public void ThrowIfCut() => _file.ThrowIfCut(Path);

    /// <summary>Closes the file; tensors that nobody has pinned throw from now on.</summary>
    public void Dispose() => _file.Dispose();

    private static int ReadVersion(GgufReader reader)
    {
        uint version = reader.UInt32("version");
        if (version is >= 1 and <= 3)
            return (int)version;
        bool isSwapped = (version & 0xffff) == 0 && version != 0;
        throw reader.Error("version", isSwapped ? "a little-endian file" : "1, 2 or 3", isSwapped ? "a big-endian one" : $"{version}");
    }

    private static int ReadCount(GgufReader reader, string field, int minBytes, int max)
    {
        int count = reader.Count(field, minBytes);
        return count <= max ? count : throw reader.Error(field, $"at most {max}", $"{count}");
    }

    private static (string Name, long[] Dimensions, GgmlType Type, ulong Offset) ReadInfo(GgufReader reader, int index)
    {
        ReadOnlySpan<byte> utf8 = reader.String($"tensor {index}").Span;
        if (utf8.Length is 0 or > MaxNameBytes)
            throw reader.Error($"tensor {index}", $"a name of 1 to {MaxNameBytes} bytes", $"{utf8.Length}");
        string name = GgufReader.Shown(utf8);
        uint count = reader.UInt32($"{name}: n_dims");
        if (count is 0 or > MaxDimensions)
            throw reader.Error($"{name}: n_dims", $"1 to {MaxDimensions}", $"{count}");
        long[] dimensions = new long[count];
        Int128 elements = 1;
        for (int i = 0; i < dimensions.Length; i++)
        {
            ulong size = reader.Count($"{name}: dims");
            if (size is 0 or > long.MaxValue || (elements *= size) > long.MaxValue)
                throw reader.Error($"{name}: dims", $"1 to {long.MaxValue} elements", $"dimension {i} of {size}");
            dimensions[i] = (long)size;
        }
        uint id = reader.UInt32($"{name}: type");
        GgmlType type = GgmlType.Find(id)
            ?? throw reader.Error($"{name}: type", $"one of {TensorTypeException.Readable}; requantise the model", GgmlType.NameOf(id));
        if (dimensions[0] % type.BlockElements != 0)
            throw reader.Error($"{name}: dims", $"rows of a multiple of {type.Name}'s {type.BlockElements}", $"{dimensions[0]}");
        return (name, dimensions, type, reader.UInt64($"{name}: offset"));
    }

    private GgufTensor Place(GgufReader reader, string name, long[] dimensions, GgmlType type, ulong offset)
    {
        if (offset % (ulong)Alignment != 0)
            throw reader.Error($"{name}: offset", $"a multiple of the alignment {Alignment}", $"{offset}");
        Int128 bytes = dimensions.Aggregate((Int128)type.BlockBytes, (product, size) => product * size) / type.BlockElements;
        Int128 end = (Int128)offset + DataOffset + bytes;
        if (end > _file.Length)
            throw reader.Error(name, $"{bytes} bytes within the file's {_file.Length}", $"an end at {end}; the file may have been cut");
        return new GgufTensor(name, dimensions, type, DataOffset + (long)offset, (long)bytes, _file);
    }

    private void CheckOverlaps(GgufReader reader)
    {
        HashSet<string> names = [];
        long end = DataOffset;
        foreach (GgufTensor tensor in Tensors.OrderBy(tensor => tensor.Offset))
        {
            if (!names.Add(tensor.Name))
                throw reader.Error(tensor.Name, "a tensor that occurs once", "it again");
            if (tensor.Offset < end)
                throw reader.Error(tensor.Name, $"an offset of at least {end}, where the one before ends", $"{tensor.Offset}");
            end = tensor.Offset + tensor.Bytes;
        }
    }
}
