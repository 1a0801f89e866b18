using System.CommandLine;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Llama2.Cli.Generate;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>
/// Shows that fast always gives the same bits: the hash of all logits along a greedy text, by every kernel, with several
/// numbers of threads and several batches.
/// </summary>
internal static class VerifyCommand
{
    /// <summary>Hashes of the logits of the model that ships, in float32 and with <c>--quantize q8_0</c>, on every machine.</summary>
    internal const string DefaultModel = "34f1847dd6ab05ac", DefaultModelInt8 = "c2cbd66b540455a1";

    private const int Steps = 96;

    private static readonly (int Threads, int Batch)[] Setups = [(1, 1), (2, 7), (3, 64), (4, 1)];

    public static void AddTo(Command command)
    {
        Argument<string?> model = ModelOptions.AddCheckpoint(command, "model");
        command.SetAction(result => Run(result.GetValue(model)));
    }

    private static int Run(string? name)
    {
        ModelSource source = ModelFiles.RequireCheckpoint(name);
        using ModelFile model = source.Open();
        string file = Path.GetFileName(source.Path);
        bool isDefault = source.IsDefault;
        Weights? int8 = model.Weights.AreFloat32 ? FiniteWeights.Int8(model) : null;
        bool agree = Verify(model.Config, model.Weights, file, isDefault ? DefaultModel : null);
        if (int8 is not null)
            agree &= Verify(model.Config, int8, file + " as q8_0", isDefault ? DefaultModelInt8 : null);
        Output.WriteLines(agree ? "all the same" : "DIFFERENT: please report this table and the processor");
        return agree ? ExitCode.Success : ExitCode.Differs;
    }

    // The first kernel and setup choose the text, one token at a time; the others are fed that text.
    private static bool Verify(Config config, Weights weights, string name, string? expected)
    {
        using Interrupt interrupt = new();
        Output.WriteLines(name);
        bool agree = true;
        int[]? tokens = null;
        foreach ((string kernel, int threads, int batch) in
            from kernel in FastTransformer.KernelNames from setup in Setups select (kernel, setup.Threads, setup.Batch))
        {
            interrupt.Token.ThrowIfCancellationRequested();
            using FastTransformer transformer = new(config, weights, threads, kernel);
            tokens ??= GreedyText.Of(transformer, Math.Min(Steps, config.SeqLen) - 1, interrupt.Token);
            string hash = Hash(transformer, tokens, batch);
            expected ??= hash;
            agree &= hash == expected;
            string verdict = hash == expected ? "" : $"  DIFFERENT from {expected}";
            Output.WriteLines($"  {kernel,-11} {threads} thread{(threads == 1 ? " " : "s")}  calls of {batch,2}  {hash}{verdict}");
        }
        return agree;
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
