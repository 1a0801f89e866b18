namespace Llama2.Simple.Formats.Gguf;

/// <summary>The type of a value in a GGUF file's metadata; the numbers are those of the file.</summary>
public enum GgufValueType : uint
{
    U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64,
}

/// <summary>What the types have in common.</summary>
internal static class GgufValueTypes
{
    /// <summary>Bytes of a value, or 0 of one that says its own length.</summary>
    public static int Bytes(this GgufValueType type) => type switch
    {
        GgufValueType.U8 or GgufValueType.I8 or GgufValueType.Bool => 1,
        GgufValueType.U16 or GgufValueType.I16 => 2,
        GgufValueType.U32 or GgufValueType.I32 or GgufValueType.F32 => 4,
        GgufValueType.U64 or GgufValueType.I64 or GgufValueType.F64 => 8,
        _ => 0,
    };

    public static bool IsInteger(this GgufValueType type) => type is not (
        GgufValueType.F32 or GgufValueType.F64 or GgufValueType.Bool or GgufValueType.Text or GgufValueType.Array);

    public static bool IsFloat(this GgufValueType type) => type is GgufValueType.F32 or GgufValueType.F64;

    /// <summary>The type in lower case, as in u32.</summary>
    public static string Name(this GgufValueType type) => type.ToString().ToLowerInvariant();
}
