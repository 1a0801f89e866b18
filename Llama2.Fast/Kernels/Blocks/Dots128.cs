namespace Llama2.Fast.Kernels;

/// <summary>Registers of 128 bits in pairs.</summary>
internal readonly struct Dots128 : IDots
{
    public static bool IsSupported => Int8Vector128.IsSupported;
    public static int SignedBias => 0;

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Unsigned(Vector256<byte> w, Vector256<sbyte> high, Vector256<sbyte> low) =>
        Signed(w.AsSByte(), high, low);

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> Signed(Vector256<sbyte> w, Vector256<sbyte> high, Vector256<sbyte> low) =>
        Add(Add(default, w, high) << BlockUnit.LowBits, w, low);

    [MethodImpl(Jit.Inline)]
    private static Vector256<int> Add(Vector256<int> sum, Vector256<sbyte> w, Vector256<sbyte> x) => Vector256.Create(
        Int8Vector128.Dot(sum.GetLower(), w.GetLower(), x.GetLower()), Int8Vector128.Dot(sum.GetUpper(), w.GetUpper(), x.GetUpper()));

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> AddPairs(Vector256<int> a, Vector256<int> b) => Vector256.Create(
        Int8Vector128.AddPairs(a.GetLower(), b.GetLower()), Int8Vector128.AddPairs(a.GetUpper(), b.GetUpper()));

    [MethodImpl(Jit.Inline)]
    public static Vector256<int> AddHalves(Vector256<int> a, Vector256<int> b) =>
        Vector256.Create(a.GetLower() + a.GetUpper(), b.GetLower() + b.GetUpper());
}
