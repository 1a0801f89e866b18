using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Tests.Golden;

/// <summary>The reference's logits are those of run.c and runq.c, at every step of every story; and so are Fast's in int8.</summary>
public sealed class GoldenLogitsTests(ITestOutputHelper output)
{
    public static TheoryData<string, string> Cases => GoldenCase.All();

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_of_every_step_are_those_of_llama2_c(string name, string model)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.FindModel(model)!);
        using Transformer simple = new(checkpoint.Config, checkpoint.Weights);
        AssertGolden(GoldenCase.Read(name), checkpoint, simple);
        if (checkpoint.Header.Version < 2)
            return;
        using FastTransformer fast = new(checkpoint.Config, checkpoint.Weights);
        AssertGolden(GoldenCase.Read(name), checkpoint, fast);
    }

    private void AssertGolden(GoldenCase golden, Checkpoint checkpoint, ITransformer transformer)
    {
        KvCache cache = new(checkpoint.Config);
        float[] logits = new float[checkpoint.Config.VocabSize];
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Assert.Equal(golden.Tokens.Length - 1, golden.ForwardCalls);
        for (int position = 0; position < golden.ForwardCalls; position++)
        {
            transformer.Forward([new Row(golden.Tokens[position], cache, Want.Logits)], logits);
            hash.AppendData(MemoryMarshal.AsBytes<float>(logits));
            for (int token = 0; position < golden.LogitsHead.Length && token < golden.LogitsHead[position].Length; token++)
                AssertLogit(golden.Logit(position, token), logits[token]);
            if (golden.Temperature == 0 && position >= golden.PromptTokens.Length - 1)
                Assert.Equal(golden.Tokens[position + 1], logits.IndexOf(logits.Max()));
        }
        output.WriteLine(Glibc.Verdict);
        if (Glibc.IsMathF)
            Assert.Equal(golden.LogitsSha256, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    private static void AssertLogit(float expected, float actual)
    {
        if (Glibc.IsMathF)
            Assert.Equal(BitConverter.SingleToUInt32Bits(expected), BitConverter.SingleToUInt32Bits(actual));
        else
            Assert.InRange(actual, expected - 1e-4f * (1 + MathF.Abs(expected)), expected + 1e-4f * (1 + MathF.Abs(expected)));
    }
}
