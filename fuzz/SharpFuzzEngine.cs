#if SHARPFUZZ
using SharpFuzz;

namespace Llama2.Fuzz;

/// <summary>SharpFuzz's two drivers. The assemblies under test were instrumented by its tool; see run.sh.</summary>
internal static class SharpFuzzEngine
{
    /// <summary>Serves afl-fuzz or libfuzzer-dotnet until it goes away.</summary>
    /// <returns>False if neither started this process.</returns>
    public static bool Run(Target target)
    {
        if (Environment.GetEnvironmentVariable("__LIBFUZZER_SHM_ID") is not null)
        {
            Fuzzer.LibFuzzer.Run(target.Run.Invoke);
            return true;
        }
        if (Environment.GetEnvironmentVariable("__AFL_SHM_ID") is null)
            return false;
        // in a process of its own: a guard page kills the one that touches it
        Fuzzer.OutOfProcess.Run(stream =>
        {
            using MemoryStream data = new();
            stream.CopyTo(data);
            target.Run(data.GetBuffer().AsSpan(0, (int)data.Length));
        });
        return true;
    }
}
#endif
