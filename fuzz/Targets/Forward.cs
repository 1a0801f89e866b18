namespace Llama2.Fuzz.Targets;

/// <summary>
/// A model of any shape and a list of rows over two caches, cut into calls anywhere: Fast with any kernel gives the bits of its scalar
/// kernel fed row by row. In int8 these are Simple's; in float32 they are near Simple's for tame weights. Weights lie between guard
/// pages. There is one thread, since SharpFuzz remembers one last place for all threads; properties are tried with several.
/// </summary>
internal static class Forward
{
    private const int MostRows = 40;

    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        bool int8 = input.Bool(), tame = input.Bool();
        int kvHeads = input.Between(1, 3), kvMul = input.Between(1, 3), headSize = 2 * input.Between(1, 12);
        Config config = new(headSize * kvHeads * kvMul, input.Between(1, 70), input.Between(1, 2), kvHeads * kvMul, kvHeads,
            input.Between(3, 40), input.Between(1, MostRows));
        string kernel = FastTransformer.KernelNames[input.Byte() % FastTransformer.KernelNames.Count];
        ReadOnlySpan<byte> rows = input.Bytes(input.Between(1, MostRows));

        Weights weights = GuardedModel.Create(input, config, int8, tame);
        using FastTransformer scalar = new(config, weights, threads: 1, "scalar");
        using FastTransformer fast = new(config, weights, threads: 1, kernel, minShortlist: 0);
        using Transformer simple = new(config, weights);
        (Want Want, float[] Floats)[] expected = Feed(scalar, rows, together: false), reference = Feed(simple, rows, together: false);
        KernelUnderTest.AssertSameBits(All(expected), All(Feed(fast, rows, together: true)), $"{kernel}, not one by one");
        if (int8 && IsMathFKnown)
            KernelUnderTest.AssertSameBits(All(reference), All(expected), "Fast, which is not Simple");
        if (int8 || !tame)
            return;
        float[] floats = All(expected.Where(IsNoToken)), near = All(reference.Where(IsNoToken)); // a token may be another one
        float tolerance = 1e-3f * (floats.Append(0).Max(MathF.Abs) + 1e-3f);
        for (int i = 0; i < floats.Length; i++)
        {
            if (!(MathF.Abs(floats[i] - near[i]) <= tolerance))
                throw new BrokenPromiseException($"output {i} is {floats[i]:R}, Simple's is {near[i]:R}");
        }
    }

    /// <summary>Whether the C library computes as Fast does, which is glibc's way.</summary>
    private static readonly bool IsMathFKnown = Enumerable.Range(0, 2000).All(i => MathF.Exp(i * -0.05f) == Elementary.Exp(i * -0.05f));

    private static bool IsNoToken((Want Want, float[] Floats) result) => result.Want != Want.Token;

    private static float[] All(IEnumerable<(Want, float[] Floats)> results) => [.. results.SelectMany(result => result.Floats)];

    /// <summary>Each byte is a row: its cache, what it wants, whether a call ends with it, and its token. All results, in order.</summary>
    private static (Want Want, float[] Floats)[] Feed(ITransformer transformer, ReadOnlySpan<byte> bytes, bool together)
    {
        Config config = transformer.Config;
        KvCache[] caches = [new(config), new(config)];
        List<(Want, float[])> results = [];
        List<Row> rows = [];
        int[] lengths = new int[2];
        for (int i = 0; i < bytes.Length; i++)
        {
            int cache = bytes[i] & 1;
            Want want = (bytes[i] >> 1 & 3) switch { 0 => Want.Nothing, 1 => Want.Embedding, 2 => Want.Token, _ => Want.Logits };
            if (lengths[cache]++ < config.SeqLen)
                rows.Add(new Row(bytes[i] * 7 % config.VocabSize, caches[cache], want));
            if (together && (bytes[i] & 8) == 0 && i < bytes.Length - 1)
                continue;
            float[] output = new float[RowChecks.OutputLength(config, rows.ToArray())];
            transformer.Forward(rows.ToArray(), output);
            int at = 0;
            foreach (Row row in rows)
                results.Add((row.Want, output[at..(at += RowChecks.OutputLength(config, row.Want))]));
            rows.Clear();
        }
        return [.. results];
    }
}
