using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text.Json.Nodes;
using Llama2.Fast;

namespace Llama2.Cli;

/// <summary>What inspect --cpu says: the kernels of Llama2.Fast, and why this machine takes which.</summary>
internal static class CpuReport
{
    public static JsonObject Create()
    {
        string? forced = Environment.GetEnvironmentVariable(FastTransformer.KernelVariable) is { Length: > 0 } name ? name : null;
        if (forced is not null && !FastTransformer.KernelNames.Contains(forced))
            throw new UsageException($"{FastTransformer.KernelVariable}: this machine has no kernel {forced}, only {string.Join(", ", FastTransformer.KernelNames)}");
        string chosen = forced ?? FastTransformer.KernelNames[0];
        return new JsonObject
        {
            ["architecture"] = $"{RuntimeInformation.ProcessArchitecture}",
            ["instructions"] = string.Join(' ', Instructions().Where(set => set.IsSupported).Select(set => set.Name)),
            ["threads"] = FastTransformer.DefaultThreads,
            ["chosen"] = chosen,
            ["because"] = forced is not null ? $"{FastTransformer.KernelVariable} says so" : "it is the first that this machine supports",
            ["kernels"] = new JsonArray([.. FastTransformer.AllKernelNames.Select(kernel => new JsonObject
            {
                ["kernel"] = kernel,
                ["supported"] = FastTransformer.KernelNames.Contains(kernel),
                ["chosen"] = kernel == chosen,
            })]),
        };
    }

    private static (string Name, bool IsSupported)[] Instructions() =>
    [
        ("AVX2", Avx2.IsSupported), ("FMA", Fma.IsSupported), ("AVX-VNNI", AvxVnni.IsSupported),
        ("AVX-512F", Avx512F.IsSupported), ("AVX-512BW", Avx512BW.IsSupported), ("AVX-512DQ", Avx512DQ.IsSupported),
        ("AdvSimd", AdvSimd.IsSupported), ("Dp", Dp.IsSupported),
    ];
}
