using Llama2.Simple;

namespace Llama2.Fast.Kernels;

/// <summary>A way to compute on this kind of machine; all of them give the same bits.</summary>
internal abstract class Kernel(string name, bool isSupported)
{
    /// <summary>Forces one, by its name.</summary>
    public const string Variable = "LLAMA2_KERNEL";

    public string Name { get; } = name;

    private bool IsSupported { get; } = isSupported;

    /// <summary>
    /// All there are, the fastest first. 512 bits before 256 before 128, since decode waits for memory either
    /// way and prefill does twice the work an instruction. .NET has VNNI in 256 bits alone; it does in one instruction what
    /// AVX2 does in four, and AVX-512, of twice the width, in two.
    /// </summary>
    public static IReadOnlyList<Kernel> All { get; } =
    [
        new Kernel<Lanes512, Int8Vnni>("avx512-vnni"),
        new Kernel<Lanes512, Int8Avx512>("avx512"),
        new Kernel<Lanes256, Int8Vnni>("avx2-vnni"),
        new Kernel<Lanes256, Int8Avx2>("avx2"),
        new Kernel<Lanes128, Int8By128>("128"),
        new Kernel<LanesScalar, Int8Scalar>("scalar"),
    ];

    /// <summary>Those this machine can run.</summary>
    public static IReadOnlyList<Kernel> Available { get; } = [.. All.Where(kernel => kernel.IsSupported)];

    /// <summary>The kernel of that name, or of the environment's choice, or the fastest.</summary>
    /// <exception cref="ArgumentException">The machine has no such kernel.</exception>
    public static Kernel Find(string? kernel) => TryFind(kernel) ?? throw new ArgumentException(
        $"{Variable}: this machine has no kernel {kernel ?? Chosen}, but {string.Join(", ", Available.Select(available => available.Name))}", nameof(kernel));

    /// <summary>The same, or null.</summary>
    public static Kernel? TryFind(string? kernel)
    {
        kernel ??= Chosen;
        return string.IsNullOrEmpty(kernel) ? Available[0] : Available.FirstOrDefault(available => available.Name == kernel);
    }

    private static string? Chosen => Environment.GetEnvironmentVariable(Variable);

    /// <summary>A transformer's innards that compute this way.</summary>
    public abstract ForwardPass CreatePass(Config config, Weights weights, int threads, long leastShortlist);

    /// <summary>Quantises n floats in groups, halves to even.</summary>
    public abstract unsafe void QuantizeWeights(float* x, int n, int groupSize, sbyte* values, float* scales);

    /// <summary>A shortlist for a classifier of float32, whether or not <see cref="Shortlist.Suits"/>.</summary>
    public abstract Shortlist CreateShortlist(in Matrix classifier, Team team, int threads);

    /// <summary>The operations that a pass is made of, one by one.</summary>
    public abstract Operations Operations { get; }
}

/// <summary>A kernel made of lanes and int8 products.</summary>
internal sealed class Kernel<TLanes, TInt8>(string name) : Kernel(name, TLanes.IsSupported && TInt8.IsSupported)
    where TLanes : struct, ILanes<TLanes>
    where TInt8 : struct, IInt8<TInt8>
{
    public override ForwardPass CreatePass(Config config, Weights weights, int threads, long leastShortlist) =>
        new ForwardPass<TLanes, TInt8>(config, weights, threads, leastShortlist);

    public override unsafe void QuantizeWeights(float* x, int n, int groupSize, sbyte* values, float* scales) =>
        Nn<TLanes>.Quantize(x, n, groupSize, values, scales, halvesToEven: true);

    public override Shortlist CreateShortlist(in Matrix classifier, Team team, int threads) => new Shortlist<TLanes, TInt8>(classifier, team, threads);

    public override Operations Operations => new Operations<TLanes, TInt8>();
}
