using Llama2.Fuzz.Engine;
using SharpFuzz;

namespace Llama2.Fuzz;

internal static class Program
{
    private const string Usage = """
        usage: fuzz TARGET|all [--seconds N] [--executions N] [--seed N] [--findings DIR]
               fuzz TARGET --replay FILE|DIR ...
               fuzz TARGET --minimise FILE
               fuzz instrument DIR
        See fuzz/README.md. The targets are
        """;

    private static int Main(string[] args)
    {
        switch (args)
        {
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
            case [string name] when Target.Find(name) is { } target && IsSet("__LIBFUZZER_SHM_ID"):
                Fuzzer.LibFuzzer.Run(target.Run);
                return 0;
            case [string name] when Target.Find(name) is { } target && IsSet("__AFL_SHM_ID"):
                Fuzzer.OutOfProcess.Run(stream => // a guard page kills the process that touches it
                {
                    using MemoryStream data = new();
                    stream.CopyTo(data);
                    target.Run(data.ToArray());
                });
                return 0;
            case ["all", .. string[] rest] when FuzzOptions.Parse(Target.Planted, rest) is { } options:
                return Fuzz(Target.All.Select(target => options with { Target = target }));
            case [string name, .. string[] rest] when Target.Find(name) is { } target && FuzzOptions.Parse(target, rest) is { } options:
                return Fuzz([options]);
            default:
                Console.Error.WriteLine($"{Usage} {string.Join(", ", Target.All.Select(target => target.Name))}.");
                return 1;
        }
    }

    private static int Fuzz(IEnumerable<FuzzOptions> targets)
    {
        using Supervisor supervisor = new();
        return targets.Sum(supervisor.Fuzz) == 0 ? 0 : 1;
    }

    /// <summary>Whether another fuzzer, which sets this variable, started this process.</summary>
    private static bool IsSet(string variable) => Environment.GetEnvironmentVariable(variable) is not null;
}
