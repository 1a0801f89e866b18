using System.CommandLine;
using System.Runtime.InteropServices;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>Generates text as llama2.c's run does; also what the program does without a command.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        Command command = new("generate", "Generates text from a prompt; the same as no command");
        AddTo(command);
        return command;
    }

    public static void AddTo(Command command)
    {
        GenerateOptions options = new();
        options.AddTo(command);
        command.SetAction(result => Run(options, result));
    }

    private static int Run(GenerateOptions options, ParseResult result)
    {
        string path = options.FindCheckpoint(result);
        using Checkpoint checkpoint = Checkpoint.Open(path);
        Config config = checkpoint.Config;
        Tokenizer tokenizer = ModelFiles.OpenTokenizer(result.GetValue(options.Tokenizer), path, config.VocabSize);
        string implementation = options.Implementations.NameIn(result);
        using ITransformer transformer = options.Implementations.Create(result, checkpoint);
        Sampler sampler = new(config.VocabSize, result.GetValue(options.Temperature), result.GetValue(options.TopP), options.SeedOf(result));
        using FileStream? logits = result.GetValue(options.Logits) is { } file ? new FileStream(file, FileMode.Append) : null;
        Session session = new(transformer, sampler)
        {
            BatchSize = Implementations.BatchSize(implementation),
            OnLogits = logits is null ? null : values => logits.Write(MemoryMarshal.AsBytes(values)),
        };

        bool silent = result.GetValue(options.Silent);
        if (!silent)
            Console.Error.WriteLine(Describe(checkpoint, implementation));
        int steps = options.StepsFor(result, path, config.SeqLen);
        using Interrupt interrupt = new();
        if (result.GetValue(options.Mode) == "chat")
            return new RunChat(session, tokenizer, steps, interrupt.Token).Run(result.GetValue(options.System), result.GetValue(options.Prompt));

        Generator generator = new(session);
        Print(generator.Generate(tokenizer.Encode(result.GetValue(options.Prompt) ?? ""), steps, interrupt.Token), tokenizer);
        if (!silent)
            Report(generator, session);
        return interrupt.Token.IsCancellationRequested ? Program.Interrupted : Program.Success;
    }

    private static void Print(IEnumerable<int> tokens, Tokenizer tokenizer)
    {
        TextStream text = new();
        int previous = Tokenizer.Bos;
        foreach (int token in tokens)
        {
            ReadOnlySpan<byte> piece = tokenizer.Decode(previous, token);
            if (TextStream.IsSafe(piece))
                Output.Write(text.Append(piece));
            previous = token;
        }
        Output.WriteLine(text.Flush());
    }

    /// <summary>The model in one line.</summary>
    private static string Describe(Checkpoint checkpoint, string implementation)
    {
        Config c = checkpoint.Config;
        string format = checkpoint.Header.Version == 2 ? $"v2 int8 (group {checkpoint.Header.GroupSize})" : $"v{checkpoint.Header.Version} float32";
        return $"{Path.GetFileName(checkpoint.Path)}: dim {c.Dim}, hidden {c.HiddenDim}, layers {c.LayerCount}, heads {c.HeadCount}, kv heads {c.KvHeadCount}, vocab {c.VocabSize}, context {c.SeqLen}, {format}, {implementation}";
    }

    private static void Report(Generator generator, Session session)
    {
        Console.Error.WriteLine($"prompt: {generator.PromptTokens} tokens, {PerSecond(generator.PromptTokens, generator.PromptTime)} tok/s; "
            + $"generation: {generator.GeneratedTokens} tokens, {PerSecond(generator.GeneratedTokens - 1, generator.GenerationTime)} tok/s; "
            + $"time to first token: {generator.TimeToFirstToken.TotalMilliseconds:F1} ms");
        if (session.Tokens.Length > 1)
            Console.Error.WriteLine($"achieved tok/s: {generator.AchievedTokensPerSecond:F6}");
    }

    private static string PerSecond(int tokens, TimeSpan time) => tokens > 0 && time > TimeSpan.Zero ? $"{tokens / time.TotalSeconds:F1}" : "-";
}
