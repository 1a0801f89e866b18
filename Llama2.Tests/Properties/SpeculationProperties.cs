using FsCheck;
using FsCheck.Fluent;
using Llama2.Fast;
using Llama2.Simple.Generation.Speculation;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Properties;

/// <summary>With any drafter and any number of drafts, all that shows of a text is what shows without.</summary>
public sealed class SpeculationProperties
{
    /// <summary>A text, and how it is drafted.</summary>
    private sealed record Telling(ModelShape Model, int[] Prompt, int MaxNew, float Temperature, float TopP, int Seed, int Filters,
        int Ends, int Room, bool Keeps, bool Sees, DrafterKind Kind, int Drafts, int Implementation, bool ByToken, int StopAfter)
    {
        public static readonly Gen<Telling> Any =
            from model in ModelShape.Generator(Palettes.Tame)
            where model.SeqLen > 4
            from prompt in Gen.Choose(0, 1_000_000).NonEmptyListOf().Resize(12)
            from maxNew in Gen.Frequency((1, Gen.Choose(1, 6)), (3, Gen.Choose(7, 100)))
            from sampling in Gen.Elements((0f, 0f), (0f, 0f), (0.8f, 0.9f), (1f, 0f), (5f, 0.5f))
            from seed in Gen.Choose(1, int.MaxValue)
            from filters in Gen.Elements(0, 0, 1, 2, 3)
            from ends in Gen.Elements(0, 0, 1, 2)
            from room in Gen.Elements(0, 1, 2)
            from keeps in Gen.Elements(false, false, true)
            from sees in Gen.Elements(false, false, true)
            from kind in Gen.Elements(Enum.GetValues<DrafterKind>())
            from drafts in Gen.Choose(1, DraftPolicy.MaxDrafts)
            from implementation in Gen.Choose(0, 1000)
            from byToken in Gen.Elements(true, false)
            from stopAfter in Gen.Frequency((4, Gen.Constant(int.MaxValue)), (1, Gen.Choose(1, 9)))
            select new Telling(model, [.. prompt.Take(model.SeqLen - 2)], maxNew, sampling.Item1, sampling.Item2, seed, filters, ends, room,
                keeps, sees, kind, drafts, implementation, byToken, stopAfter);

        public IEnumerable<Telling> Shrink() =>
        [
            .. Shrinking.Shorter(Prompt).Where(x => x.Length > 0).Select(x => this with { Prompt = x }),
            .. Shrinking.Towards(1, MaxNew).Select(x => this with { MaxNew = x }),
            .. Shrinking.Towards(1, Drafts).Select(x => this with { Drafts = x }),
            .. Shrinking.Towards(0, Filters).Select(x => this with { Filters = x }),
            .. Shrinking.Towards(0, Ends).Select(x => this with { Ends = x }),
            .. Shrinking.Towards(0, Implementation).Select(x => this with { Implementation = x }),
            .. Keeps ? [this with { Keeps = false }] : Array.Empty<Telling>(),
            .. Sees ? [this with { Sees = false }] : Array.Empty<Telling>(),
            .. Model.Shrink().Where(x => x.SeqLen >= Prompt.Length + 2).Select(x => this with { Model = x }),
        ];

        public ITransformer CreateTransformer(Weights weights, int choice)
        {
            IReadOnlyList<string> kernels = FastTransformer.KernelNames;
            return choice % 3 == 0 ? new Transformer(Model.Config, weights)
                : new FastTransformer(Model.Config, weights, 1 + (choice % 4), kernels[choice % kernels.Count], minShortlist: 0);
        }

        public Sequence CreateSequence(LogitsVisitor? visitor, IDrafter? drafter)
        {
            Config config = Model.Config;
            Sequence sequence = new(config, new Sampler(config.VocabSize, Temperature, TopP, (ulong)Seed))
            {
                Filters = Filters switch
                {
                    0 => [],
                    1 => [LogitFilters.RepeatPenalty(1.5f, 8)],
                    2 => [LogitFilters.TopK(3), LogitFilters.MinP(0.05f)],
                    _ => [LogitFilters.Bias([KeyValuePair.Create(1, 0.5f)]), LogitFilters.RepeatPenalty(0.9f, 64)],
                },
                OnLogits = Sees ? visitor : null,
                KeepsLogits = Keeps,
                Drafters = drafter is null ? [] : [drafter],
                MaxNewTokens = MaxNew,
                IsEnd = token => Ends > 0 && token % (40 / Ends) == 1,
            };
            sequence.MakeRoom = Room switch
            {
                0 => null,
                1 => static () => false,
                _ => () =>
                {
                    sequence.Replace([.. sequence.Tokens[..1], .. sequence.Tokens[^1..]]);
                    return true;
                }
                ,
            };
            sequence.Append([.. Prompt.Select(token => token % config.VocabSize)]);
            return sequence;
        }
    }

    [Fact]
    public void Speculation_never_shows() => Property.Holds(Telling.Any, x => x.Shrink(), x =>
    {
        Weights weights = x.Model.CreateWeights();
        Weights others = x.Implementation % 2 == 0 || x.Model.Version == 2 ? weights
            : WeightQuantizer.Quantize(weights, WeightQuantizer.GroupSizeFor(x.Model.Config), threads: 1);
        using ITransformer transformer = x.CreateTransformer(weights, x.Implementation);
        using ITransformer copy = x.CreateTransformer(others, x.Implementation / 3);
        int stopAfter = x.ByToken ? x.StopAfter : int.MaxValue;
        Told plain = Told.Of(transformer, visitor => x.CreateSequence(visitor, null), stopAfter: stopAfter);
        Told whole = Told.Of(transformer, visitor => x.CreateSequence(visitor, null));
        IDrafter drafter = x.Kind.Create(whole.Tokens, copy, x.Drafts, x.Seed);
        FixedDrafts policy = new(DraftPolicy.MaxDrafts);
        Told drafted = Told.Of(transformer, visitor => x.CreateSequence(visitor, drafter), policy, x.ByToken, stopAfter);
        Told.AssertEqual(plain, drafted, x.ByToken);
        Assert.InRange(policy.Accepted, 0, policy.Drafted);
    }, tests: 300);

    [Fact]
    public void Sequences_of_one_batch_may_have_any_drafters() => Property.Holds(Telling.Any, x => x.Shrink(), x =>
    {
        Weights weights = x.Model.CreateWeights();
        using ITransformer transformer = x.CreateTransformer(weights, x.Implementation);
        using ITransformer copy = x.CreateTransformer(weights, x.Implementation / 3);
        Random random = new(x.Seed);
        Telling[] all = [.. Enumerable.Range(0, 5).Select(i => x with
        {
            Seed = x.Seed / (i + 1) + 1,
            Drafts = 1 + random.Next(DraftPolicy.MaxDrafts),
            Kind = (DrafterKind)random.Next(5),
            MaxNew = 1 + random.Next(x.MaxNew),
        })];
        Told[] alone = [.. all.Select(telling => Told.Of(transformer, visitor => telling.CreateSequence(visitor, null)))];
        SelfDrafter shared = new(new Lazy<ITransformer>(copy));
        List<float[]>[] seen = [.. all.Select(_ => new List<float[]>())];
        Sequence[] together = [.. all.Select((telling, i) => telling.CreateSequence(logits => seen[i].Add(logits.ToArray()),
            i == 0 ? null : i < 3 ? shared : telling.Kind.Create(alone[i].Tokens, copy, telling.Drafts, telling.Seed)))];
        Batch batch = new(transformer, new FixedDrafts(DraftPolicy.MaxDrafts));
        for (int i = 0; i < all.Length || batch.Count > 0;)
        {
            if (i < all.Length && random.Next(3) == 0)
                batch.Add(together[i++]);
            if (batch.Count > 0 && random.Next(4) == 0 && together.FirstOrDefault(s => s.Sampled > 0 && s.End is null) is { } absent)
            {
                batch.Remove(absent); // it waits, and goes on where it was
                batch.Step();
                batch.Add(absent);
            }
            batch.Step();
        }
        for (int i = 0; i < all.Length; i++)
        {
            Told.State end = alone[i].States[^1], state = Told.StateOf(together[i], seen[i].Count);
            Assert.Equal(end.Tokens, state.Tokens);
            Assert.Equal((end.Fed, end.Sampled, end.Last, end.End, end.RandomState), (state.Fed, state.Sampled, state.Last, state.End,
                state.RandomState));
            Assert.Equal(alone[i].Seen.Count, seen[i].Count);
            for (int row = 0; row < seen[i].Count; row++)
                Bits.AssertEqual(alone[i].Seen[row], seen[i][row]);
            Bits.AssertEqual(alone[i].Cache, Told.CacheOf(together[i].Cache, x.Model.Config), "cache");
        }
    }, tests: 100);
}
