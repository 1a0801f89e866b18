namespace Llama2.Fuzz.Targets;

/// <summary>
/// A model of any shape and a list of rows over two caches, cut into calls anywhere: Fast with any kernel and any number of
/// threads gives the bits of its scalar kernel fed row by row. In int8 these are Simple's; in float32 they are near Simple's for
/// tame weights. Weights lie between guard pages.
/// </summary>
internal static class Forward
{
    private const int MostRows = 40;

    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        bool int8 = input.Bool(), tame = input.Bool();
        int kvHeads = input.Between(1, 3), kvMul = input.Between(1, 3), headSize = 2 * input.Between(1, 12);
        Config config = new(headSize * kvHeads * kvMul, input.Between(1, 70), input.Between(1, 2), kvHeads * kvMul, kvHeads,
            input.Between(3, 40), input.Between(1, MostRows));
        string kernel = FastTransformer.KernelNames[input.Byte() % FastTransformer.KernelNames.Count];
        int threads = input.Byte() is var b && b < 200 ? 1 : 1 + (b % 3);
        ReadOnlySpan<byte> rows = input.Bytes(input.Between(1, MostRows));

        using GuardedModel model = new(config, int8, tame, ref input);
        using FastTransformer scalar = new(config, model.Weights, 1, "scalar"), fast =
            new(config, model.Weights, threads, kernel, minShortlist: 0);
        using Transformer simple = new(config, model.Weights);
        (float[] expected, float[] tokens) = Feed(scalar, rows, together: false);
        (float[] actual, float[] actualTokens) = Feed(fast, rows, together: true);
        KernelUnderTest.AssertSameBits(tokens, actualTokens, $"tokens of {kernel} with {threads} threads, not one by one");
        KernelUnderTest.AssertSameBits(expected, actual, $"{kernel} with {threads} threads, not one by one");
        if (expected.Length == 0)
            return;
        float[] reference = Feed(simple, rows, together: false).Floats;
        if (int8 && IsMathFKnown)
            KernelUnderTest.AssertSameBits(reference, expected, "Fast, which is not Simple");
        if (!tame || int8)
            return;
        float tolerance = 1e-3f * (expected.Max(MathF.Abs) + 1e-3f);
        for (int i = 0; i < expected.Length; i++)
        {
            if (!(MathF.Abs(expected[i] - reference[i]) <= tolerance))
                throw new BrokenPromiseException($"output {i} is {expected[i]:R}, Simple's is {reference[i]:R}");
        }
    }

    /// <summary>Whether the C library computes as Fast does, which is glibc's way.</summary>
    private static readonly bool IsMathFKnown = Enumerable.Range(0, 2000).All(i => MathF.Exp(i * -0.05f) == Elementary.Exp(i * -0.05f));

    /// <summary>
    /// Each byte is a row: its cache, what it wants, whether a call ends with it, and its token. All outputs, in order, tokens by
    /// themselves.
    /// </summary>
    private static (float[] Floats, float[] Tokens) Feed(ITransformer transformer, ReadOnlySpan<byte> bytes, bool together)
    {
        Config config = transformer.Config;
        KvCache[] caches = [new(config), new(config)];
        List<float> floats = [], tokens = [];
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
            Span<float> rest = output;
            foreach (Row row in rows)
            {
                int length = RowChecks.OutputLength(config, row.Want);
                (row.Want == Want.Token ? tokens : floats).AddRange(rest[..length]);
                rest = rest[length..];
            }
            rows.Clear();
        }
        return ([.. floats], [.. tokens]);
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-float-gqa", [0, 1, 1, 2, 3, 20, 1, 17, 30, 0, 0, 8, 0x02, 0x10, 0x23, 0x34, 0x4a, 0x56, 0x61, 0x72, 3, 1, 2, 3, 5, 8,
            13]),
        new("seed-int8", [1, 1, 1, 1, 7, 31, 0, 9, 30, 1, 0, 8, 0x02, 0x10, 0x23, 0x34, 0x4a, 0x56, 0x61, 0x72, 3, 1, 2, 3, 5, 8, 13]),
        new("seed-threads", [0, 0, 0, 0, 7, 63, 0, 36, 39, 2, 202, 20, 0x00, 0x02, 0x04, 0x06, 0x10, 0x12, 0x14, 0x16, 0x18, 0x20, 3, 7,
            15, 31, 63]),
    ];
}
