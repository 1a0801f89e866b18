using Llama2.Simple.Generation.Speculation;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// A model, up to three texts and a script of steps: with any drafters, which may also leave rows in the cache and draw coins, texts that
/// join, leave and come back have the tokens, logits, coins and caches that each has alone without drafts. There is one thread, as in
/// <see cref="Forward"/>.
/// </summary>
internal static class Speculate
{
    private const int MaxSequences = 3;
    private const int MaxTokens = 40;

    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        bool isFast = input.Bool();
        int headSize = 2 * input.Between(1, 4), kvMul = input.Between(1, 2);
        Config config = new(headSize * kvMul, input.Between(1, 20), input.Between(1, 2), kvMul, 1, input.Between(3, 12),
            input.Between(2, MaxTokens));
        string kernel = FastTransformer.KernelNames[input.Byte() % FastTransformer.KernelNames.Count];
        Weights weights = GuardedModel.Create(input, config, int8: input.Bool(), tame: true);
        Weights others = GuardedModel.Create(input, config, int8: false, tame: true);
        using ITransformer transformer = isFast ? new FastTransformer(config, weights, threads: 1, kernel, minShortlist: 0)
            : new Transformer(config, weights);
        using Transformer copy = new(config, input.Bool() ? weights : others);
        NewText[] texts = [.. Enumerable.Range(0, input.Between(1, MaxSequences)).Select(_ => ReadText(input, config))];
        byte[] script = [.. input.Bytes(input.Byte())];

        Text[] alone = [.. texts.Select(text => TellAlone(transformer, text))], drafted = TellTogether(transformer, copy, texts, script);
        for (int i = 0; i < texts.Length; i++)
        {
            if (drafted[i].Words != alone[i].Words)
                throw new BrokenPromiseException($"{drafted[i].Words}; alone it is {alone[i].Words}");
            KernelUnderTest.AssertSameBits(alone[i].Floats(config), drafted[i].Floats(config), "logits and cache");
        }
    }

    private static Text TellAlone(ITransformer transformer, NewText newText)
    {
        Text text = newText(drafters: []);
        foreach (string _ in new Batch(transformer).Run(text.Sequence))
            continue;
        return text;
    }

    // Each byte of the script is a guess, and at the beginning of a step says whether a text leaves for a while.
    private static Text[] TellTogether(ITransformer transformer, ITransformer copy, NewText[] texts, byte[] script)
    {
        int next = 0;
        Batch batch = new(transformer, new FixedDrafts(DraftPolicy.MaxDrafts));
        ScriptedDrafter shared = new(copy, Next);
        List<Text> joined = [];
        while (joined.Count < texts.Length || batch.Count > 0)
        {
            int action = Next();
            if (joined.Count < texts.Length && (action % 2 == 0 || batch.Count == 0))
            {
                joined.Add(texts[joined.Count]([action % 16 < 8 ? shared : new ScriptedDrafter(copy, Next)]));
                batch.Add(joined[^1].Sequence);
            }
            if (action % 8 == 7 && joined[0].Sequence is { End: null } absent && batch.Count > 1)
            {
                batch.Remove(absent);
                batch.Step();
                batch.Add(absent);
            }
            batch.Step();
        }
        return [.. joined];

        int Next() => script.Length == 0 ? 0 : script[next++ % script.Length];
    }

    /// <summary>Drafts as a script says: what another model says, what the text had before, or any tokens, with side effects.</summary>
    private sealed class ScriptedDrafter(ITransformer copy, Func<int> next) : IDrafter
    {
        private readonly SelfDrafter _self = new(new Lazy<ITransformer>(copy));
        private readonly Dictionary<Sequence, LookupDrafter> _lookups = [];

        public void Draft(ReadOnlySpan<Drafts> asked)
        {
            int how = next();
            foreach (Drafts text in asked)
                text.Wanted = 1 + next() % text.Wanted;
            if (how % 4 is 1 or 2)
            {
                _self.Draft(asked);
                return;
            }
            foreach (Drafts text in asked)
            {
                if (how % 4 == 0)
                {
                    Lookup(text).Draft([text]);
                    continue;
                }
                copy.Forward([new Row(how % copy.Config.VocabSize, text.Sequence.Cache)], []);
                text.Sequence.Sampler.RandomState = 1 + (ulong)how;
                while (text.Count < text.Wanted)
                    text.Add(next() % copy.Config.VocabSize);
            }
        }

        private LookupDrafter Lookup(Drafts text) => _lookups.TryGetValue(text.Sequence, out LookupDrafter? lookup) ? lookup
            : _lookups[text.Sequence] = new LookupDrafter();
    }

    /// <summary>Begins a text; called again, the same text anew.</summary>
    private delegate Text NewText(IDrafter[] drafters);

    private static NewText ReadText(FuzzInput input, Config config)
    {
        int length = input.Between(1, Math.Min(6, config.SeqLen));
        int[] prompt = [.. Enumerable.Range(0, length).Select(_ => input.Byte() % config.VocabSize)];
        float temperature = input.Byte() % 4 * 0.7f, topP = input.Byte() % 3 * 0.45f;
        int filter = input.Byte() % 4, room = input.Byte() % 3, maxNew = input.Between(0, 60), end = input.Byte();
        bool keeps = input.Bool(), sees = input.Bool();
        ulong seed = 1 + (ulong)input.Byte();
        return drafters =>
        {
            List<float> seen = [];
            Sequence sequence = new(config, new FastSampler(config.VocabSize, temperature, topP, seed))
            {
                Filters = filter switch
                {
                    0 => [LogitFilters.RepeatPenalty(1.3f, 5)],
                    1 => [LogitFilters.TopK(2), LogitFilters.MinP(0.1f)],
                    _ => [],
                },
                OnLogits = sees ? logits => seen.AddRange(logits) : null,
                KeepsLogits = keeps,
                MaxNewTokens = maxNew,
                IsEnd = token => token == end,
                Drafters = drafters,
            };
            sequence.MakeRoom = room switch { 0 => null, 1 => () => false, _ => KeepLast };
            sequence.Append(prompt);
            return new Text(sequence, seen);

            bool KeepLast()
            {
                sequence.Replace([.. sequence.Tokens[^1..]]);
                return true;
            }
        };
    }

    /// <summary>What shows of a text, in words and in floats.</summary>
    private sealed record Text(Sequence Sequence, List<float> Seen)
    {
        public string Words => $"tokens {string.Join(' ', Sequence.Tokens.ToArray())}, fed {Sequence.Fed}, sampled {Sequence.Sampled}, "
            + $"the last {Sequence.LastSampled}, end {Sequence.End}, random state {Sequence.Sampler.RandomState}, "
            + $"{Sequence.Logits.Length} logits kept, {Seen.Count} seen";

        public float[] Floats(Config config)
        {
            int used = Sequence.Fed * config.KvDim;
            List<float> floats = [.. Sequence.Logits, .. Seen];
            for (int layer = 0; layer < config.LayerCount; layer++)
                floats.AddRange([.. Sequence.Cache.Keys(layer)[..used], .. Sequence.Cache.Values(layer)[..used]]);
            return [.. floats];
        }
    }
}
