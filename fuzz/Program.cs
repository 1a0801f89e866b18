using Llama2.Fuzz.Engine;
using SharpFuzz;

namespace Llama2.Fuzz;

internal static class Program
{
    private const string Usage = """
        usage: fuzz TARGET|all [--seconds N] [--executions N] [--seed N] [--findings DIR]
               fuzz TARGET --replay FILE|DIR ...
               fuzz TARGET --minimise FILE
               fuzz list | instrument DIR
        See fuzz/README.md.
        """;

    private static int Main(string[] args)
    {
        switch (args)
        {
            case ["list"]:
                Console.WriteLine(string.Join('\n', Target.All.Select(target => target.Name)));
                return 0;
            case ["instrument", string folder]:
                InstrumentedProgram.Make(folder);
                return 0;
            case ["input", string name, string path]:
                Target.Find(name)!.Run(File.ReadAllBytes(path));
                return 0;
            case ["worker", string name, string root, string findings]:
                using (FlightRecorder recorder = new(AppContext.BaseDirectory))
                    new Worker(new FuzzOptions(Target.Find(name)!) { Root = root, Findings = findings }, recorder).Run();
                return 0;
            case [string name, "--replay", .. { Length: > 0 } paths] when Target.Find(name) is { } target:
                return Replay.Run(target, paths) ? 0 : 1;
            case [string name, "--minimise", string path] when Target.Find(name) is { } target:
                return Replay.Minimise(target, path) ? 0 : 1;
            case [string name] when Target.Find(name) is { } target && ServeOtherFuzzer(target):
                return 0;
            case ["all", .. string[] rest] when FuzzOptions.Parse(Target.Planted, rest) is { } options:
                return Fuzz(Target.All.Select(target => options with { Target = target }));
            case [string name, .. string[] rest] when Target.Find(name) is { } target && FuzzOptions.Parse(target, rest) is { } options:
                return Fuzz([options]);
            default:
                Console.Error.WriteLine(Usage);
                return 1;
        }
    }

    private static int Fuzz(IEnumerable<FuzzOptions> targets)
    {
        using Supervisor supervisor = new();
        return targets.Sum(supervisor.Fuzz) == 0 ? 0 : 1;
    }

    /// <summary>Serves afl-fuzz or libfuzzer-dotnet if one of them started this process.</summary>
    private static bool ServeOtherFuzzer(Target target)
    {
        if (Environment.GetEnvironmentVariable("__LIBFUZZER_SHM_ID") is not null)
        {
            Fuzzer.LibFuzzer.Run(target.Run);
            return true;
        }
        if (Environment.GetEnvironmentVariable("__AFL_SHM_ID") is null)
            return false;
        // out of process: a guard page kills the process that touches it
        Fuzzer.OutOfProcess.Run(stream =>
        {
            using MemoryStream data = new();
            stream.CopyTo(data);
            target.Run(data.GetBuffer().AsSpan(0, (int)data.Length));
        });
        return true;
    }
}
