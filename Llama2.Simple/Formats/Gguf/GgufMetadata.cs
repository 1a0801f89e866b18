using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>
/// The metadata of a GGUF file: values by their keys. All of it was checked against the file's length; a value is decoded when it is asked
/// for. A getter returns null where the key is absent, and throws a <see cref="ModelFileException"/> where its value has another type.
/// </summary>
public sealed class GgufMetadata
{
    private const int MaxKeyBytes = (1 << 16) - 1, MaxDepth = 16; // of arrays in arrays

    private readonly ReadOnlyMemory<byte> _bytes; // the file from its beginning
    private readonly bool _isWide;
    private readonly string _path;
    private readonly Dictionary<string, (GgufValueType Type, int Position)> _values = [];
    private readonly List<string> _keys = [];

    /// <summary>Reads that many keys with their values.</summary>
    /// <param name="reader">Stands before the first key.</param>
    /// <param name="bytes">What it reads.</param>
    /// <param name="path">The file's name, for messages.</param>
    internal GgufMetadata(GgufReader reader, ReadOnlyMemory<byte> bytes, int count, string path)
    {
        (_bytes, _isWide, _path) = (bytes, reader.IsWide, path);
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> utf8 = reader.String($"key {i}").Span;
            if (utf8.Length > MaxKeyBytes)
                throw reader.Error($"key {i}", $"at most {MaxKeyBytes} bytes", $"{utf8.Length}");
            if (!Utf8.IsValid(utf8))
                throw reader.Error($"key {i}", "UTF-8", GgufReader.Shown(utf8));
            string key = Encoding.UTF8.GetString(utf8), field = GgufReader.Shown(utf8);
            GgufValueType type = ReadType(reader, field);
            if (!_values.TryAdd(key, (type, reader.Position)))
                throw reader.Error(field, "a key that occurs once", "it again");
            _keys.Add(key);
            Skip(reader, type, field, 0);
        }
    }

    public IReadOnlyList<string> Keys => _keys; // in the file's order

    /// <summary>The type of a value, or null if there is no such key.</summary>
    public GgufValueType? TypeOf(string key) => _values.TryGetValue(key, out var value) ? value.Type : null;

    /// <summary>A whole number of any width.</summary>
    public long? GetInteger(string key) =>
        Find(key, "a whole number", GgufValueTypes.IsInteger) is { } at ? Integer(key, at.Type, at.Reader) : null;

    /// <summary>A whole number of 64 bits without a sign.</summary>
    public ulong? GetUnsigned(string key) =>
        Find(key, "a uint64", type => type == GgufValueType.U64) is { } at ? at.Reader.UInt64(key) : null;

    /// <summary>A whole number of any width, which must be in a range.</summary>
    public int? GetInteger(string key, int min, int max)
    {
        long? value = GetInteger(key);
        return value is { } outside && (outside < min || outside > max)
            ? throw Error(key, $"a whole number from {min} to {max}", $"{outside}")
            : (int?)value;
    }

    /// <summary>A float32, or a float64 rounded to one.</summary>
    public float? GetFloat(string key) =>
        Find(key, "a float", GgufValueTypes.IsFloat) is { } at ? Float(at.Type, at.Reader) : null;

    public bool? GetBool(string key) =>
        Find(key, "a bool", type => type == GgufValueType.Bool) is { } at ? at.Reader.UInt8(key) != 0 : null;

    /// <summary>A text as its bytes, which need not be UTF-8.</summary>
    public ReadOnlyMemory<byte>? GetUtf8(string key) =>
        Find(key, "a string", type => type == GgufValueType.Text)?.Reader.String(key);

    /// <summary>A text; what is not UTF-8 becomes U+FFFD.</summary>
    public string? GetString(string key) => GetUtf8(key) is { } utf8 ? Encoding.UTF8.GetString(utf8.Span) : null;

    /// <summary>The number of elements of an array of any type.</summary>
    public int? GetLength(string key) => FindArray(key, "an array", _ => true)?.Count;

    /// <summary>The type of an array's elements.</summary>
    public GgufValueType? GetElementType(string key) => FindArray(key, "an array", _ => true)?.Type;

    /// <summary>An array of texts as their bytes.</summary>
    /// <param name="most">How many of its elements are wanted; bounds what a file without limits can take.</param>
    public ReadOnlyMemory<byte>[]? GetStrings(string key, int most = int.MaxValue) =>
        ReadArray(key, "an array of strings", type => type == GgufValueType.Text, most, (_, reader, _) => reader.String(key));

    /// <summary>An array of floats, each as <see cref="GetFloat"/>.</summary>
    public float[]? GetFloats(string key, int most = int.MaxValue) =>
        ReadArray(key, "an array of floats", GgufValueTypes.IsFloat, most, (type, reader, _) => Float(type, reader));

    /// <summary>An array of whole numbers of any width that 32 bits with a sign hold.</summary>
    public int[]? GetIntegers(string key, int most = int.MaxValue) =>
        ReadArray(key, "an array of whole numbers", GgufValueTypes.IsInteger, most, (type, reader, i) =>
        {
            long value = Integer(key, type, reader);
            return (int)value == value ? (int)value : throw Error($"{key}[{i}]", "a number of 32 bits", $"{value}");
        });

    /// <summary>Writes a value as files of version 3 have it, where lengths are of 64 bits.</summary>
    internal void CopyValue(string key, GgufOutput output)
    {
        (GgufValueType type, GgufReader reader) = Find(key, "", _ => true)!.Value;
        Copy(type);

        void Copy(GgufValueType type)
        {
            if (type == GgufValueType.Text)
                output.String(reader.String(key).Span);
            else if (type == GgufValueType.Array)
            {
                GgufValueType element = (GgufValueType)reader.UInt32(key);
                ulong count = reader.Count(key);
                output.UInt32((uint)element);
                output.UInt64(count);
                for (ulong i = 0; i < count; i++)
                    Copy(element);
            }
            else
                output.Write(reader.Take(type.Bytes(), key));
        }
    }

    /// <summary>The error that a value is wrong, for whoever knows what it should be.</summary>
    public ModelFileException Error(string key, string expected, string found) =>
        new(_path, GgufReader.Shown(key), expected, found);

    private (GgufValueType Type, GgufReader Reader)? Find(string key, string expected, Func<GgufValueType, bool> fits)
    {
        if (!_values.TryGetValue(key, out var value))
            return null;
        if (!fits(value.Type))
            throw Error(key, expected, value.Type.Name());
        return (value.Type, new GgufReader(_bytes, _path, "") { Position = value.Position, IsWide = _isWide });
    }

    private (GgufValueType Type, int Count, GgufReader Reader)? FindArray(string key, string expected, Func<GgufValueType, bool> fits)
    {
        if (Find(key, expected, type => type == GgufValueType.Array) is not { } array)
            return null;
        GgufValueType type = (GgufValueType)array.Reader.UInt32(key);
        int count = (int)array.Reader.Count(key);
        return count == 0 || fits(type) ? (type, count, array.Reader) : throw Error(key, expected, $"an array of {type.Name()}");
    }

    private T[]? ReadArray<T>(
        string key, string expected, Func<GgufValueType, bool> fits, int most, Func<GgufValueType, GgufReader, int, T> element)
    {
        if (FindArray(key, expected, fits) is not { } array)
            return null;
        T[] elements = new T[Math.Min(array.Count, most)];
        for (int i = 0; i < elements.Length; i++)
            elements[i] = element(array.Type, array.Reader, i);
        return elements;
    }

    private long Integer(string key, GgufValueType type, GgufReader reader)
    {
        ReadOnlySpan<byte> bytes = reader.Take(type.Bytes(), key);
        return type switch
        {
            GgufValueType.U8 => bytes[0],
            GgufValueType.I8 => (sbyte)bytes[0],
            GgufValueType.U16 => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            GgufValueType.I16 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
            GgufValueType.U32 => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            GgufValueType.I32 => BinaryPrimitives.ReadInt32LittleEndian(bytes),
            GgufValueType.I64 => BinaryPrimitives.ReadInt64LittleEndian(bytes),
            _ when BinaryPrimitives.ReadUInt64LittleEndian(bytes) is ulong value and > long.MaxValue =>
                throw Error(key, $"at most {long.MaxValue}", $"{value}"),
            _ => BinaryPrimitives.ReadInt64LittleEndian(bytes),
        };
    }

    private static float Float(GgufValueType type, GgufReader reader)
    {
        ReadOnlySpan<byte> bytes = reader.Take(type.Bytes(), "");
        return type == GgufValueType.F32
            ? BinaryPrimitives.ReadSingleLittleEndian(bytes)
            : (float)BinaryPrimitives.ReadDoubleLittleEndian(bytes);
    }

    private static GgufValueType ReadType(GgufReader reader, string field)
    {
        uint type = reader.UInt32(field);
        return type <= (uint)GgufValueType.F64
            ? (GgufValueType)type
            : throw reader.Error(field, $"a type from 0 to {(uint)GgufValueType.F64}", $"{type}");
    }

    // Checks a value and steps over it.
    private static void Skip(GgufReader reader, GgufValueType type, string field, int depth)
    {
        switch (type)
        {
            case GgufValueType.Text:
                reader.String(field);
                break;
            case GgufValueType.Bool:
                byte value = reader.UInt8(field);
                if (value > 1)
                    throw reader.Error(field, "a bool of 0 or 1", $"{value}");
                break;
            case GgufValueType.Array when depth == MaxDepth:
                throw reader.Error(field, $"arrays at most {MaxDepth} deep", "deeper ones");
            case GgufValueType.Array:
                GgufValueType element = ReadType(reader, field);
                int lengthBytes = reader.IsWide ? sizeof(ulong) : sizeof(uint);
                int minBytes = element switch
                {
                    GgufValueType.Text => lengthBytes,
                    GgufValueType.Array => sizeof(uint) + lengthBytes,
                    _ => element.Bytes(),
                };
                int count = reader.Count(field, minBytes);
                bool isNumber = element.Bytes() > 0 && element != GgufValueType.Bool;
                if (isNumber)
                    reader.Take(count * minBytes, field); // whatever they are
                for (int i = 0; i < count && !isNumber; i++)
                    Skip(reader, element, field, depth + 1);
                break;
            default:
                reader.Take(type.Bytes(), field);
                break;
        }
    }
}
