namespace Llama2.Fuzz.Engine;

/// <summary>
/// Keeps a <see cref="Worker"/> in a process of its own, so that a fault, a stack overflow or an endless loop is a finding
/// like any other and fuzzing goes on.
/// </summary>
internal sealed class Supervisor : IDisposable
{
    private const string Timeout = "timeout";
    private static readonly TimeSpan LongestRun = TimeSpan.FromSeconds(1); // of processor time: a busy machine is no finding
    private static readonly TimeSpan Deadlock = TimeSpan.FromSeconds(20);
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-fuzz-").FullName;
    private volatile bool _cancelled;

    public Supervisor()
    {
        Console.CancelKeyPress += (_, e) => e.Cancel = _cancelled = true;
        InstrumentedProgram.Make(_folder);
    }

    /// <summary>Fuzzes within the limits of the options.</summary>
    /// <returns>Findings that were not known before.</returns>
    public int Fuzz(FuzzOptions options)
    {
        using FlightRecorder recorder = new(_folder);
        ref FlightRecorder.Record now = ref recorder.Now;
        now = new() { RandomSeed = options.RandomSeed };
        string target = options.Target.Name;
        Directory.CreateDirectory(options.CorpusFolder);
        Stopwatch clock = Stopwatch.StartNew();
        while (RunWorker() is { } bug && !_cancelled)
        {
            if (bug == Timeout)
                bug += "-" + Finding.Hash([.. recorder.Trace.ToArray().Select(count => (byte)(count == 0 ? 0 : 1))]);
            Finding.Report(bug, options, recorder);
            now.RandomSeed++;
        }
        Console.WriteLine($"{target}: {now.Executions:n0} executions, {now.Executions / clock.Elapsed.TotalSeconds:n0}/s, "
            + $"corpus {now.CorpusInputs}, edges {now.EdgesTaken}, findings {now.Findings}");
        return now.Findings;

        string? RunWorker() => Run(_folder, ["worker", target, options.Root, options.Findings], worker =>
        {
            if (_cancelled || clock.Elapsed >= options.Time || recorder.Now.Executions >= options.Executions)
                worker.StandardInput.Close();
            return recorder.Now.IsRunning ? recorder.Now.Executions : null;
        });
    }

    /// <summary>Runs this program, or a copy of it, in a process of its own, and ends that if an input takes too long.</summary>
    /// <param name="folder">The program's.</param>
    /// <param name="arguments">The program's.</param>
    /// <param name="input">Called often; gives the number of the input that runs, or null between two.</param>
    /// <returns>The bug that ended the process, or null.</returns>
    public static string? Run(string folder, IEnumerable<string> arguments, Func<Process, long?> input)
    {
        string program = Path.Combine(folder, "Llama2.Fuzz.dll");
        ProcessStartInfo start = new("dotnet", [program, .. arguments]) { RedirectStandardInput = true, RedirectStandardError = true };
        start.Environment["DOTNET_DbgEnableMiniDump"] = "0"; // dumps of faults would fill the disk
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        (long? Input, TimeSpan ProcessorTime, long Start) began = default;
        try
        {
            while (!process.WaitForExit(50))
            {
                TimeSpan time = process.TotalProcessorTime;
                if (input(process) is var present && (present is null || present != began.Input))
                {
                    began = (present, time, Stopwatch.GetTimestamp());
                }
                else if (time - began.ProcessorTime > LongestRun || Stopwatch.GetElapsedTime(began.Start) > Deadlock)
                {
                    process.Kill();
                    process.WaitForExit();
                    return Timeout;
                }
            }
        }
        catch (Exception) when (process.WaitForExit(100))
        {
            // it ended as its time was asked for
        }
        return process.ExitCode == 0 ? null : Finding.Name(error.Result);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
