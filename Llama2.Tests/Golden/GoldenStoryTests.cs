using System.Text;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Tests.Golden;

/// <summary>Prompt to text, the way a program does it, is what run.c and runq.c print.</summary>
public sealed class GoldenStoryTests
{
    public static TheoryData<string, string> Cases => GoldenCase.All();

    [Theory]
    [MemberData(nameof(Cases))]
    public void Tokens_and_text_are_those_of_llama2_c(string name, string model)
    {
        GoldenCase golden = GoldenCase.Read(name);
        using Checkpoint checkpoint = Checkpoint.Open(Repository.FindModel(model)!);
        using Transformer transformer = new(checkpoint.Config, checkpoint.Weights);
        Tokenizer tokenizer = TokenizerFile.Open(Repository.FindModel(golden.Tokenizer)!, checkpoint.Config.VocabSize);
        Session session = new(transformer, new Sampler(checkpoint.Config.VocabSize, golden.Temperature, golden.Topp, golden.Seed)) { BatchSize = 5 };

        int[] prompt = tokenizer.Encode(golden.Prompt);
        Assert.Equal(golden.PromptTokens, prompt);
        int steps = golden.Steps == 0 ? checkpoint.Config.SeqLen : Math.Min(golden.Steps, checkpoint.Config.SeqLen);
        List<int> tokens = [prompt[0]];
        StringBuilder text = new();
        TextStream stream = new();
        foreach (int token in new Generator(session).Generate(prompt, steps, TestContext.Current.CancellationToken))
        {
            ReadOnlySpan<byte> piece = tokenizer.Decode(tokens[^1], token);
            text.Append(TextStream.IsSafe(piece) ? stream.Append(piece) : "");
            tokens.Add(token);
        }
        text.Append(stream.Flush());

        if (golden.StoppedOnBos)
            tokens.Add(Tokenizer.Bos);
        Assert.Equal(golden.Tokens, tokens);
        Assert.Equal(golden.TextUtf8 ?? golden.Text, text.ToString());
        Assert.Equal(golden.ForwardCalls, session.Cache.Length);
    }
}
