using System.Runtime.InteropServices;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Cli;

/// <summary>A model with a vocabulary of llama2.c's size: greedy text is found without most logits, unless these are asked for.</summary>
public sealed class GreedyTests
{
    [Fact]
    public void Greedy_text_is_the_same_whether_or_not_all_logits_are_computed()
    {
        const int Vocab = 32000, Steps = 60;
        using TestFolder folder = new();
        string model = folder.File("model.bin"), logits = folder.File("logits");
        using (FileStream file = File.Create(model))
            Shape.Parse($"144,64,2,2,2,{Vocab},{Steps}").Write(file, TestContext.Current.CancellationToken);
        using (FileStream file = File.Create(folder.File("tokenizer.bin")))
            file.Write(Shape.Tokenizer(Vocab));

        BuiltProgram tokens = BuiltProgram.Run(model, "-t", "0", "-n", "0", "--threads", "2"), all =
            BuiltProgram.Run(model, "-t", "0", "-n", "0", "--logits", logits);
        Assert.Equal((0, 0), (tokens.ExitCode, all.ExitCode));
        Assert.True(all.Out.Length > Steps, all.Out);
        Assert.Equal(all.Out, tokens.Out);
        float[] values = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(logits)).ToArray();
        Assert.Equal(Steps * Vocab, values.Length);
        Assert.True(values.Chunk(Vocab).Select(step => Sampler.ArgMax(step)).Distinct().Count() > 5);
    }
}
