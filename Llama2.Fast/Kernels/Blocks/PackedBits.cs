using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>What types of blocks share: bits of bytes, and bytes as ints.</summary>
internal static unsafe class PackedBits
{
    /// <summary>Each byte moved right, or left if negative, and only these bits of it.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Bits(Vector256<byte> v, int right, byte mask) =>
        (right >= 0 ? v.AsUInt16() >>> right : v.AsUInt16() << -right).AsByte() & Vector256.Create(mask);

    /// <summary>The low nibbles of 16 bytes, then the high ones.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> Nibbles(byte* p)
    {
        if (!Avx2.IsSupported)
        {
            Vector128<byte> v = Vector128.Load(p);
            return Vector256.Create(v & Vector128.Create((byte)15), v >>> 4);
        }
        Vector256<uint> twice = Avx2.BroadcastVector128ToVector256(p).AsUInt32();
        return Avx2.ShiftRightLogicalVariable(twice, Vector256.Create(0u, 0, 0, 0, 4, 4, 4, 4)).AsByte() & Vector256.Create((byte)15);
    }

    /// <summary>The signed bytes that the nibbles of the non-linear types stand for.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> NonLinear(Vector256<byte> nibbles)
    {
        Vector128<byte> values = Vector128.Create(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113).AsByte();
        return Avx2.IsSupported ? Avx2.Shuffle(Vector256.Create(values, values), nibbles)
            : Vector256.Create(Vector128.Shuffle(values, nibbles.GetLower()), Vector128.Shuffle(values, nibbles.GetUpper()));
    }

    /// <summary>16 in each byte whose bit is set, of 32 bits.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector256<byte> FifthBits(byte* p)
    {
        Vector128<byte> bits = Vector128.Create(Unsafe.ReadUnaligned<uint>(p)).AsByte();
        Vector128<byte> each = Vector128.Create(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128);
        Vector128<byte> lower = Vector128.Shuffle(bits, Vector128.Create((byte)0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
        Vector128<byte> upper = Vector128.Shuffle(bits, Vector128.Create((byte)2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
        Vector256<byte> set = Vector256.Create(lower & each, upper & each);
        return Vector256.Equals(set, Vector256.Create(each, each)) & Vector256.Create((byte)16);
    }

    /// <summary>Eight bytes as ints.</summary>
    [MethodImpl(Jit.Inline)]
    public static Vector256<int> ToInts(ulong bytes)
    {
        Vector128<byte> v = Vector128.CreateScalar(bytes).AsByte();
        return Avx2.IsSupported ? Avx2.ConvertToVector256Int32(v) : Halves.Widen(Vector128.WidenLower(v));
    }

    /// <summary>Sixteen signed bytes, one a part, in the order of <see cref="IBlocks"/>.</summary>
    [MethodImpl(Jit.Inline)]
    public static (Vector256<int> First, Vector256<int> Last) OfParts(Vector128<sbyte> parts)
    {
        Vector128<sbyte> v = Vector128.Shuffle(parts, Vector128.Create(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
        if (Avx2.IsSupported)
            return (Avx2.ConvertToVector256Int32(v), Avx2.ConvertToVector256Int32(v.GetUpper().ToVector128Unsafe()));
        (Vector128<short> first, Vector128<short> last) = Vector128.Widen(v);
        return (Vector256.Create(Vector128.WidenLower(first), Vector128.WidenUpper(first)),
            Vector256.Create(Vector128.WidenLower(last), Vector128.WidenUpper(last)));
    }
}
