using System.Globalization;
using Llama2.Fuzz.Engine;

namespace Llama2.Fuzz;

internal static class Program
{
    private const string Usage = """
        usage: fuzz TARGET|all [--seconds N] [--executions N] [--seed N] [--corpus DIR] [--findings DIR]
               fuzz TARGET --replay FILE|DIR ...
               fuzz TARGET --minimise FILE
               fuzz seeds | list
        See fuzz/README.md.
        """;

    private static int Main(string[] args)
    {
        switch (args)
        {
            case ["list"]:
                Console.WriteLine(string.Join('\n', Target.All.Select(target => target.Name)));
                return 0;
            case ["seeds"]:
                WriteSeeds();
                return 0;
            case [string name, "--replay", .. { Length: > 0 } paths] when Target.Find(name) is { } target:
                return Replay.Run(target, paths) ? 0 : 1;
            case [string name, "--minimise", string path] when Target.Find(name) is { } target:
                return Replay.Minimise(target, path) ? 0 : 1;
            case ["all", .. string[] rest] when Parse(new FuzzOptions(Target.Planted), rest) is { } options:
                return Target.All.Sum(target => Supervisor.Run(options with { Target = target })) == 0 ? 0 : 1;
            case [string name, .. string[] rest] when Target.Find(name) is { } target && Parse(new FuzzOptions(target), rest) is { } options:
                return Fuzz(options);
            default:
                Console.Error.WriteLine(Usage);
                return 1;
        }
    }

    /// <summary>Lets whoever started the process drive: AFL or libFuzzer, through SharpFuzz where it is compiled in, or our own engine.</summary>
    private static int Fuzz(FuzzOptions options)
    {
#if SHARPFUZZ
        if (SharpFuzzEngine.Run(options.Target))
            return 0;
#else
        if (AflForkServer.Run(options.Target))
            return 0;
#endif
        if (Environment.GetEnvironmentVariable(Supervisor.WorkerVariable) is null)
            return Supervisor.Run(options) == 0 ? 0 : 1;
        using Worker worker = new(options);
        worker.Run();
        return 0;
    }

    private static FuzzOptions? Parse(FuzzOptions options, ReadOnlySpan<string> args)
    {
        for (; args is [string name, string value, ..]; args = args[2..])
        {
            bool isNumber = double.TryParse(value, CultureInfo.InvariantCulture, out double number) && number >= 0;
            switch (name)
            {
                case "--seconds" when isNumber:
                    options = options with { Time = TimeSpan.FromSeconds(number) };
                    break;
                case "--executions" when isNumber:
                    options = options with { Executions = (long)number };
                    break;
                case "--seed" when int.TryParse(value, CultureInfo.InvariantCulture, out int seed):
                    options = options with { RandomSeed = seed };
                    break;
                case "--corpus":
                    options = options with { CorpusFolder = value };
                    break;
                case "--findings":
                    options = options with { FindingsFolder = value };
                    break;
                default:
                    return null;
            }
        }
        return args.IsEmpty ? options : null;
    }

    private static void WriteSeeds()
    {
        foreach (Target target in Target.All)
        {
            string folder = new FuzzOptions(target).SeedFolder;
            Directory.CreateDirectory(folder);
            foreach (Seed seed in target.Seeds())
                File.WriteAllBytes(Path.Combine(folder, seed.Name), seed.Data);
        }
    }
}
