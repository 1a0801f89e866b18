using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>
/// float16 to float32 in integers, since .NET has no instruction for it. A normal number gets its exponent's base moved from 15 to 127. A
/// denormal one, given the exponent of 2^-14 as if it were normal, is 2^-14 too large. Both are a - max(b, 2^-14), where a has an
/// exponent one larger than b, and b is a normal number.
/// </summary>
internal static unsafe class Halves
{
    private const int Sign = 1 << 31, Magnitude = 0x7fff << 13, Infinity = 0x7c00 << 13;
    private const int A = 113 << 23, B = 112 << 23; // 127 - 15 + 1, and 127 - 15; A is also 2^-14
    private const int Float32Infinity = 0x7f80_0000;

    /// <summary>Halves as the low 16 bits of each int, the others being zero.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector512<float> ToSingle(Vector512<int> halves)
    {
        Vector512<int> m = halves << 13 & Vector512.Create(Magnitude), b = Vector512.Max(m + Vector512.Create(B), Vector512.Create(A));
        Vector512<int> v = ((m + Vector512.Create(A)).AsSingle() - b.AsSingle()).AsInt32();
        v = Vector512.ConditionalSelect(Vector512.GreaterThan(m, Vector512.Create(Infinity - 1)), v | Vector512.Create(Float32Infinity), v);
        return (v | halves << 16 & Vector512.Create(Sign)).AsSingle();
    }

    [MethodImpl(Jit.Inline)]
    public static Vector256<float> ToSingle(Vector256<int> halves)
    {
        Vector256<int> m = halves << 13 & Vector256.Create(Magnitude), b = Vector256.Max(m + Vector256.Create(B), Vector256.Create(A));
        Vector256<int> v = ((m + Vector256.Create(A)).AsSingle() - b.AsSingle()).AsInt32();
        v |= Vector256.GreaterThan(m, Vector256.Create(Infinity - 1)) & Vector256.Create(Float32Infinity);
        return (v | halves << 16 & Vector256.Create(Sign)).AsSingle();
    }

    [MethodImpl(Jit.Inline)]
    public static Vector128<float> ToSingle(Vector128<int> halves)
    {
        Vector128<int> m = halves << 13 & Vector128.Create(Magnitude), b = Vector128.Max(m + Vector128.Create(B), Vector128.Create(A));
        Vector128<int> v = ((m + Vector128.Create(A)).AsSingle() - b.AsSingle()).AsInt32();
        v |= Vector128.GreaterThan(m, Vector128.Create(Infinity - 1)) & Vector128.Create(Float32Infinity);
        return (v | halves << 16 & Vector128.Create(Sign)).AsSingle();
    }

    /// <summary>Eight halves, that many bytes apart.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector256<float> Strided(byte* p, int stride) => ToSingle(Widen(Vector128.Create(
        At(p), At(p + stride), At(p + 2 * stride), At(p + 3 * stride),
        At(p + 4 * stride), At(p + 5 * stride), At(p + 6 * stride), At(p + 7 * stride))));

    /// <summary>One half in all lanes.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector256<float> Broadcast(byte* p) => Vector256.Create(ToSingle(Vector128.CreateScalar((int)At(p))).ToScalar());

    /// <summary>Two neighbouring halves, each in all lanes.</summary>
    [MethodImpl(Jit.Inline)]
    public static (Vector256<float> First, Vector256<float> Second) BroadcastTwo(byte* p)
    {
        Vector128<float> two = ToSingle(Vector128.WidenLower(Vector128.CreateScalar(Unsafe.ReadUnaligned<uint>(p)).AsUInt16()).AsInt32());
        return (Vector256.Create(two.ToScalar()), Vector256.Create(two[1]));
    }

    [MethodImpl(Jit.Inline)] private static ushort At(byte* p) => Unsafe.ReadUnaligned<ushort>(p);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Widen(Vector128<ushort> v) => Avx2.IsSupported ? Avx2.ConvertToVector256Int32(v)
        : Vector256.Create(Vector128.WidenLower(v), Vector128.WidenUpper(v)).AsInt32();
}
