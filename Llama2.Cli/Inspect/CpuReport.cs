using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text.Json.Nodes;
using Llama2.Fast;

namespace Llama2.Cli.Inspect;

/// <summary>The report of inspect --cpu: the kernels of Llama2.Fast, which one this machine takes, and why.</summary>
internal static class CpuReport
{
    /// <exception cref="KernelException">The environment asks for a kernel that the machine does not have.</exception>
    public static JsonObject Create()
    {
        IReadOnlyList<string> supported = FastTransformer.KernelNames;
        string chosen = FastTransformer.DefaultKernel;
        bool isForced = Environment.GetEnvironmentVariable(FastTransformer.KernelVariable) is { Length: > 0 };
        return new JsonObject
        {
            ["architecture"] = $"{RuntimeInformation.ProcessArchitecture}",
            ["instructions"] = string.Join(' ', Instructions().Where(set => set.IsSupported).Select(set => set.Name)),
            ["threads"] = FastTransformer.DefaultThreads,
            ["chosen"] = chosen,
            ["because"] = isForced ? $"{FastTransformer.KernelVariable} says so" : "it is the first that this machine supports",
            ["kernels"] = new JsonArray([.. FastTransformer.AllKernelNames.Select(kernel => new JsonObject
            {
                ["kernel"] = kernel,
                ["supported"] = supported.Contains(kernel),
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
