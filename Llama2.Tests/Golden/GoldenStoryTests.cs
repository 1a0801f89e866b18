using System.Text;

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
        int[] prompt = tokenizer.Encode(golden.Prompt);
        Assert.Equal(golden.PromptTokens, prompt);
        int steps = golden.Steps == 0 ? checkpoint.Config.SeqLen : Math.Min(golden.Steps, checkpoint.Config.SeqLen);
        Sequence sequence = new(checkpoint.Config, new Sampler(checkpoint.Config.VocabSize, golden.Temperature, golden.Topp, golden.Seed))
        {
            IsEnd = token => token == tokenizer.Bos,
        };
        sequence.Append(prompt.AsSpan(0, Math.Min(prompt.Length, steps)));
        sequence.MaxNewTokens = Math.Max(0, steps - prompt.Length + 1);
        sequence.Text = new StoppableText(tokenizer, prompt[0], []);
        StringBuilder text = new();
        foreach (int token in prompt.AsSpan(1, Math.Min(prompt.Length, steps + 1) - 1))
            text.Append(sequence.Text.AppendPrompt(token));
        foreach (string more in new Batch(transformer).Run(sequence, TestContext.Current.CancellationToken))
            text.Append(more);

        int[] tokens = [.. prompt[..Math.Min(prompt.Length, steps + 1)], .. sequence.Tokens[Math.Min(prompt.Length, steps)..]];
        if (golden.StoppedOnBos)
            tokens = [.. tokens, tokenizer.Bos];
        Assert.Equal(golden.Tokens, tokens);
        Assert.Equal(golden.TextUtf8 ?? golden.Text, text.ToString());
        Assert.Equal(golden.ForwardCalls, sequence.Fed);
    }
}
