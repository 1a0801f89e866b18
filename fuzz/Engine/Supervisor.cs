using System.Diagnostics;
using System.Globalization;

namespace Llama2.Fuzz.Engine;

/// <summary>
/// Keeps a <see cref="Worker"/> in a process of its own, so that a fault, a stack overflow or an endless loop is a finding
/// like any other and fuzzing goes on.
/// </summary>
internal static class Supervisor
{
    public const string WorkerVariable = "LLAMA2_FUZZ_WORKER"; // set for the worker

    /// <summary>Fuzzes for the time given.</summary>
    /// <returns>Findings that were not known before.</returns>
    public static int Run(FuzzOptions options)
    {
        using FlightRecorder recorder = new(options.RecorderPath, FuzzOptions.MaxLength);
        recorder.Reset();
        Stopwatch clock = Stopwatch.StartNew();
        for (int seed = options.RandomSeed; ; seed++)
        {
            TimeSpan left = options.Time - clock.Elapsed;
            if (left <= TimeSpan.Zero)
                break;
            using Process worker = Start(
                [options.Target.Name, "--seconds", left.TotalSeconds.ToString(CultureInfo.InvariantCulture),
                "--executions", options.Executions.ToString(CultureInfo.InvariantCulture),
                "--seed", seed.ToString(CultureInfo.InvariantCulture), "--corpus", options.CorpusFolder, "--findings", options.FindingsFolder],
                "1");
            string error = worker.StandardError.ReadToEnd();
            worker.WaitForExit();
            if (worker.ExitCode == 0)
                break;
            if (worker.ExitCode == Worker.TimedOut)
                continue;
            if (recorder.Executions == 0)
                throw new InvalidOperationException($"the worker does not start: {error}");
            string name = Finding.Name(error, worker.ExitCode);
            if (Finding.Save(options.FindingsFolder, name, recorder.Input))
            {
                recorder.Findings++;
                Console.WriteLine($"{options.Target.Name}: found {name}");
            }
        }
        return recorder.Findings;
    }

    /// <summary>Starts this program again, its standard error to be read.</summary>
    public static Process Start(IEnumerable<string> arguments, string workerVariable, bool redirectOutput = false)
    {
        string dll = typeof(Supervisor).Assembly.Location;
        bool byHost = Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet";
        ProcessStartInfo start = new(Environment.ProcessPath!, byHost ? [dll, .. arguments] : arguments) { RedirectStandardError = true, RedirectStandardOutput = redirectOutput };
        start.Environment[WorkerVariable] = workerVariable;
        start.Environment["DOTNET_DbgEnableMiniDump"] = "0"; // a fault is expected, its dump is not wanted
        return Process.Start(start)!;
    }
}
