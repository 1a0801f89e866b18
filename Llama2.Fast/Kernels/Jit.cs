namespace Llama2.Fast.Kernels;

/// <summary>What kernels ask of .NET's compiler.</summary>
internal static class Jit
{
    /// <summary>A step of a loop: a call would write the accumulators of the loop to memory.</summary>
    public const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;

    /// <summary>Skips tiered compilation: the first tokens would otherwise run unoptimised code.</summary>
    public const MethodImplOptions Optimize = MethodImplOptions.AggressiveOptimization;
}
