using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>
/// Shows that fast gives the same bits whatever it runs on: a greedy text of a model by every kernel, several numbers of
/// threads and several batches, and the hash of all logits of each.
/// </summary>
internal static class VerifyCommand
{
    /// <summary>What the model that ships gives on every machine: the hash of its logits, float32 and as <c>--quantize q8_0</c>.</summary>
    internal const string DefaultModel = "34f1847dd6ab05ac", DefaultModelInt8 = "c2cbd66b540455a1";

    private const int Steps = 96;

    private sealed record Way(string Kernel, int Threads, int Batch);

    public static void AddTo(Command command)
    {
        Argument<string?> model = new("model") { Description = "checkpoint, or the name of a model in weights/; default: the model that ships", Arity = ArgumentArity.ZeroOrOne };
        command.Add(model);
        command.SetAction(result => Run(result.GetValue(model)));
    }

    private static int Run(string? name)
    {
        string path = ModelFiles.FindCheckpoint(name);
        using Checkpoint checkpoint = Checkpoint.Open(path);
        bool agree = Verify(checkpoint.Config, checkpoint.Weights, Path.GetFileName(path), ModelFiles.IsDefault(path) ? DefaultModel : null);
        if (checkpoint.Header.Version < 2)
        {
            Weights int8 = WeightQuantizer.Quantize(checkpoint.Weights, QuantizeCommand.GroupSize(checkpoint.Config));
            agree &= Verify(checkpoint.Config, int8, Path.GetFileName(path) + " as q8_0", ModelFiles.IsDefault(path) ? DefaultModelInt8 : null);
        }
        Output.WriteLine(agree ? "all the same" : "DIFFERENT: please report this table and the processor");
        return agree ? Program.Success : Program.Differs;
    }

    // The first way chooses the text, one token at a time; the others are fed that text.
    private static bool Verify(Config config, Weights weights, string name, string? expected)
    {
        using Interrupt interrupt = new();
        Output.WriteLine(name);
        bool agree = true;
        int[]? tokens = null;
        foreach (Way way in Ways())
        {
            interrupt.Token.ThrowIfCancellationRequested();
            using FastTransformer transformer = new(config, weights, way.Threads, way.Kernel);
            tokens ??= GreedyText(transformer);
            string hash = Hash(transformer, tokens, way.Batch);
            expected ??= hash;
            agree &= hash == expected;
            Output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"  {way.Kernel,-11} {way.Threads} thread{(way.Threads == 1 ? " " : "s")}  calls of {way.Batch,2}  {hash}{(hash == expected ? "" : $"  DIFFERENT from {expected}")}"));
        }
        return agree;
    }

    private static IEnumerable<Way> Ways()
    {
        foreach (string kernel in FastTransformer.KernelNames)
        {
            foreach ((int threads, int batch) in ((int, int)[])[(1, 1), (2, 7), (3, 64), (4, 1)])
                yield return new Way(kernel, threads, batch);
        }
    }

    private static int[] GreedyText(FastTransformer transformer)
    {
        Config config = transformer.Config;
        Session session = new(transformer, new Sampler(config.VocabSize, temperature: 0, topp: 0, seed: 1));
        int[] tokens = new int[Math.Min(Steps, config.SeqLen)];
        tokens[0] = Math.Min(Tokenizer.Bos, config.VocabSize - 1);
        for (int i = 1; i < tokens.Length; i++)
        {
            session.Feed([tokens[i - 1]], CancellationToken.None);
            tokens[i] = session.Sample();
        }
        return tokens;
    }

    /// <summary>The first 16 digits of the SHA-256 over the logits of every token, as little-endian float32.</summary>
    private static string Hash(FastTransformer transformer, int[] tokens, int batch)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        KvCache cache = new(transformer.Config);
        foreach (int[] call in tokens.Chunk(batch))
        {
            float[] logits = new float[call.Length * transformer.Config.VocabSize];
            transformer.Forward([.. call.Select(token => new Row(token, cache, Want.Logits))], logits);
            hash.AppendData(MemoryMarshal.AsBytes<float>(logits));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }
}
