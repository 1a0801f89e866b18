using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Llama2.Fast;

namespace Llama2.Tests.Golden;

/// <summary>The reference's logits are those of run.c and runq.c, at every step of every story; and so are Fast's in int8.</summary>
public sealed class GoldenLogitsTests(ITestOutputHelper output)
{
    public static TheoryData<string, string> Cases => GoldenCase.All();

    public static TheoryData<string, string> Int8Cases =>
        [.. Cases.Where(row => row.Skip is not null || row.Data.Item2.Contains("_q80", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_of_every_step_are_those_of_llama2_c(string name, string model)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.FindModel(model)!);
        using Transformer simple = new(checkpoint.Config, checkpoint.Weights);
        AssertGolden(GoldenCase.Read(name), checkpoint, simple);
    }

    [Theory]
    [MemberData(nameof(Int8Cases))]
    public void In_int8_Fast_gives_them_too(string name, string model)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.FindModel(model)!);
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
            golden.AssertLogits(position, logits);
            if (golden.Temperature == 0 && position >= golden.PromptTokens.Length - 1)
                Assert.Equal(golden.Tokens[position + 1], logits.IndexOf(logits.Max()));
        }
        output.WriteLine(Glibc.Verdict);
        if (Glibc.IsMathF)
            Assert.Equal(golden.LogitsSha256, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }
}
