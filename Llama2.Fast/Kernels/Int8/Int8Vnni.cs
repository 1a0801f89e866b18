using System.Runtime.Intrinsics.X86;

namespace Llama2.Fast.Kernels;

/// <summary>AVX-VNNI: products of unsigned and signed bytes and their sum in one instruction.</summary>
internal readonly unsafe struct Int8Vnni(Vector256<int> v) : IInt8<Int8Vnni>
{
    private readonly Vector256<int> _v = v;

    public static bool IsSupported => AvxVnni.IsSupported;
    public static int Lanes => Vector256<int>.Count;
    public static bool CanTransposeRows => true;
    public static int Depth => 4;
    public static int Bias => 128;
    [MethodImpl(Jit.Inline)] public static Int8Vnni Create(int lane) => new(Vector256.Create(lane));
    [MethodImpl(Jit.Inline)] public static Int8Vnni Load(sbyte* p) => new(Vector256.Load(p).AsInt32());
    [MethodImpl(Jit.Inline)] public static Int8Vnni LoadSixteen(sbyte* p) => new(Vector128.Load(p).ToVector256().AsInt32());
    [MethodImpl(Jit.Inline)] public static Int8Vnni AddBias(Int8Vnni w) => new(w._v ^ Vector256.Create(sbyte.MinValue).AsInt32());

    [MethodImpl(Jit.Inline)] public static Int8Vnni operator +(Int8Vnni a, Int8Vnni b) => new(a._v + b._v);

    [MethodImpl(Jit.Inline)]
    public static void LoadRows(sbyte* p, nint apart, out Int8Vnni a, out Int8Vnni b, out Int8Vnni c, out Int8Vnni d)
    {
        Int8Avx2.Rows(p, apart, out Vector256<int> va, out Vector256<int> vb, out Vector256<int> vc, out Vector256<int> vd);
        (a, b) = (AddBias(new(va)), AddBias(new(vb)));
        (c, d) = (AddBias(new(vc)), AddBias(new(vd)));
    }

    [MethodImpl(Jit.Inline)]
    public static Int8Vnni Dot(Int8Vnni sum, Int8Vnni w, Int8Vnni x) =>
        new(AvxVnni.MultiplyWideningAndAdd(sum._v, w._v.AsByte(), x._v.AsSByte()));

    [MethodImpl(Jit.Inline)]
    public static Vector128<int> Sum(Int8Vnni a, Int8Vnni b, Int8Vnni c, Int8Vnni d) => Int8Avx2.Sum(a._v, b._v, c._v, d._v);

    [MethodImpl(Jit.Inline)]
    public static void AddScaled(float* o, Int8Vnni dots, float* wScales, float xScale) => Int8Avx2.AddScaled(o, dots._v, wScales, xScale);
}
