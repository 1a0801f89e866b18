using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Generation.Speculation;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// A model, up to three texts and a script of steps: with any drafters, which may also leave rows in the cache and draw coins, texts that
/// join, leave and come back have the tokens, logits, coins and caches that each has alone without drafts.
/// </summary>
internal static class Speculate
{
    private const int MaxSequences = 3;
    private const int MaxTokens = 40;

    public static void Run(ReadOnlySpan<byte> data)
    {
        FuzzInput input = new(data);
        bool isFast = input.Bool();
        int headSize = 2 * input.Between(1, 4), kvMul = input.Between(1, 2);
        Config config = new(headSize * kvMul, input.Between(1, 20), input.Between(1, 2), kvMul, 1, input.Between(3, 12),
            input.Between(2, MaxTokens));
        string kernel = FastTransformer.KernelNames[input.Byte() % FastTransformer.KernelNames.Count];
        int threads = input.Byte() is var b && b < 200 ? 1 : 1 + (b % 4);
        using GuardedModel model = new(config, int8: input.Bool(), tame: true, ref input);
        using GuardedModel other = new(config, int8: false, tame: true, ref input);
        using ITransformer transformer = isFast ? new FastTransformer(config, model.Weights, threads, kernel, minShortlist: 0)
            : new Transformer(config, model.Weights);
        using Transformer copy = new(config, input.Bool() ? model.Weights : other.Weights);
        Text[] texts = new Text[input.Between(1, MaxSequences)];
        for (int i = 0; i < texts.Length; i++)
            texts[i] = new Text(config, ref input);
        byte[] script = [.. input.Bytes(input.Byte())];

        foreach (Text text in texts)
            text.TellAlone(transformer);
        TellTogether(transformer, copy, texts, script);
        foreach (Text text in texts)
            text.AssertSame();
    }

    // Each byte of the script is a guess, and at the beginning of a step says whether a text leaves for a while.
    private static void TellTogether(ITransformer transformer, ITransformer copy, Text[] texts, byte[] script)
    {
        int next = 0;
        Batch batch = new(transformer, new FixedDrafts(DraftPolicy.MaxDrafts));
        int joined = 0;
        ScriptedDrafter shared = new(copy, Next);
        while (joined < texts.Length || batch.Count > 0)
        {
            int action = Next();
            if (joined < texts.Length && (action % 2 == 0 || batch.Count == 0))
                batch.Add(texts[joined++].Begin(action % 16 < 8 ? shared : new ScriptedDrafter(copy, Next)));
            if (action % 8 == 7 && texts[0].Drafted is { End: null } absent && batch.Count > 1)
            {
                batch.Remove(absent);
                batch.Step();
                batch.Add(absent);
            }
            batch.Step();
        }

        int Next() => script.Length == 0 ? 0 : script[next++ % script.Length];
    }

    /// <summary>
    /// Drafts what a script says: what another model says, what the text had before, any tokens; at times with side effects.
    /// </summary>
    private sealed class ScriptedDrafter(ITransformer copy, Func<int> next) : IDrafter
    {
        private readonly SelfDrafter _self = new(new Lazy<ITransformer>(copy));
        private readonly Dictionary<Sequence, LookupDrafter> _lookups = [];

        public void Draft(ReadOnlySpan<Drafts> asked)
        {
            int how = next();
            foreach (Drafts text in asked)
                text.Wanted = 1 + next() % text.Wanted;
            if (how % 4 == 0)
            {
                foreach (Drafts text in asked)
                    Lookup(text).Draft([text]);
            }
            else if (how % 4 < 3)
            {
                _self.Draft(asked);
            }
            else
            {
                foreach (Drafts text in asked)
                {
                    copy.Forward([new Row(how % copy.Config.VocabSize, text.Sequence.Cache)], []);
                    text.Sequence.Sampler.RandomState = 1 + (ulong)how;
                    while (text.Count < text.Wanted)
                        text.Add(next() % copy.Config.VocabSize);
                }
            }
        }

        private LookupDrafter Lookup(Drafts text) => _lookups.TryGetValue(text.Sequence, out LookupDrafter? lookup) ? lookup
            : _lookups[text.Sequence] = new LookupDrafter();
    }

    /// <summary>The settings of a text, told twice.</summary>
    private sealed class Text
    {
        private readonly Config _config;
        private readonly int[] _prompt;
        private readonly float _temperature, _topP;
        private readonly int _filter, _room, _maxNew, _end;
        private readonly bool _keeps, _sees;
        private readonly ulong _seed;
        private readonly List<float> _seenAlone = [], _seen = [];
        private Sequence? _alone;

        public Text(Config config, ref FuzzInput input)
        {
            _config = config;
            _prompt = new int[input.Between(1, Math.Min(6, config.SeqLen))];
            for (int i = 0; i < _prompt.Length; i++)
                _prompt[i] = input.Byte() % config.VocabSize;
            (_temperature, _topP) = (input.Byte() % 4 * 0.7f, input.Byte() % 3 * 0.45f);
            (_filter, _room, _maxNew, _end) = (input.Byte() % 4, input.Byte() % 3, input.Between(0, 60), input.Byte());
            (_keeps, _sees, _seed) = (input.Bool(), input.Bool(), 1 + (ulong)input.Byte());
        }

        public Sequence? Drafted { get; private set; }

        public void TellAlone(ITransformer transformer)
        {
            _alone = Begin(_seenAlone, null);
            foreach (string _ in new Batch(transformer).Run(_alone))
                continue;
        }

        public Sequence Begin(IDrafter drafter) => Drafted = Begin(_seen, drafter);

        private Sequence Begin(List<float> seen, IDrafter? drafter)
        {
            Sequence sequence = new(_config, new FastSampler(_config.VocabSize, _temperature, _topP, _seed))
            {
                Filters = _filter switch
                {
                    0 => [LogitFilters.RepeatPenalty(1.3f, 5)],
                    1 => [LogitFilters.TopK(2), LogitFilters.MinP(0.1f)],
                    _ => [],
                },
                OnLogits = _sees ? logits => seen.AddRange(logits) : null,
                KeepsLogits = _keeps,
                MaxNewTokens = _maxNew,
                IsEnd = token => token == _end,
                Drafters = drafter is null ? [] : [drafter],
            };
            sequence.MakeRoom = _room switch { 0 => null, 1 => () => false, _ => MakeRoom };
            sequence.Append(_prompt);
            return sequence;

            bool MakeRoom()
            {
                sequence.Replace([.. sequence.Tokens[^1..]]);
                return true;
            }
        }

        public void AssertSame()
        {
            (Sequence a, Sequence b) = (_alone!, Drafted!);
            if (!a.Tokens.SequenceEqual(b.Tokens))
                throw new BrokenPromiseException(
                    $"tokens {string.Join(' ', b.Tokens.ToArray())}, not {string.Join(' ', a.Tokens.ToArray())}");
            if ((a.Fed, a.Sampled, a.LastSampled, a.End) != (b.Fed, b.Sampled, b.LastSampled, b.End))
                throw new BrokenPromiseException(
                    $"fed {b.Fed}, sampled {b.Sampled}, the last {b.LastSampled}, end {b.End}, "
                    + $"not {a.Fed}, {a.Sampled}, {a.LastSampled}, {a.End}");
            if (a.Sampler.RandomState != b.Sampler.RandomState)
                throw new BrokenPromiseException("another random state");
            KernelUnderTest.Definition.MustGive([.. a.Logits], [.. b.Logits]);
            if (_seenAlone.Count != _seen.Count)
                throw new BrokenPromiseException($"{_seen.Count} logits seen, not {_seenAlone.Count}");
            KernelUnderTest.Definition.MustGive([.. _seenAlone], [.. _seen]);
            for (int layer = 0; layer < _config.LayerCount; layer++)
            {
                int used = a.Fed * _config.KvDim;
                KernelUnderTest.Definition.MustGive(a.Cache.Keys(layer)[..used], b.Cache.Keys(layer)[..used]);
                KernelUnderTest.Definition.MustGive(a.Cache.Values(layer)[..used], b.Cache.Values(layer)[..used]);
            }
        }
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-greedy", [0, 1, 0, 5, 0, 9, 30, 0, 0, 0, .. Bytes(120, 3)]),
        new("seed-fast-threads", [1, 2, 1, 7, 1, 8, 38, 1, 203, 1, .. Bytes(160, 7)]),
        new("seed-sampled", [1, 1, 0, 3, 0, 5, 20, 0, 0, 1, .. Bytes(200, 11)]),
    ];

    private static byte[] Bytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
