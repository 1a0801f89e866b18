using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Config = Llama2.Simple.Config;

namespace Llama2.Tests.Properties;

/// <summary>What every implementation of the seam promises, tried with the reference.</summary>
public class TransformerProperties
{
    /// <summary>The implementation under test; <paramref name="seed"/> chooses among its settings.</summary>
    protected virtual ITransformer Create(Config config, Weights weights, int seed) => new Transformer(config, weights);

    /// <summary>Sequences of tokens for a model, and how they are dealt out to calls of Forward.</summary>
    protected sealed record Run(ModelShape Model, int[][] Sequences, int[] Deal)
    {
        public static Gen<Run> Any(params Palette[] palettes) =>
            from model in ModelShape.Generator(palettes)
            from isLong in Gen.Frequency((8, Gen.Constant(false)), (1, Gen.Constant(true)))
            from sequences in Gen.Choose(1, 3).SelectMany(count => Sequence(isLong).ArrayOf(count))
            from deal in Gen.Choose(0, 11).ArrayOf()
            let room = isLong ? 80 : model.SeqLen
            select new Run(model with { SeqLen = room }, [.. sequences.Select(tokens => tokens[..Math.Min(tokens.Length, room)])], deal);

        // a cache grows at 64
        private static Gen<int[]> Sequence(bool isLong) =>
            (isLong ? Gen.Choose(60, 80) : Gen.Choose(0, 14)).SelectMany(length => Gen.Choose(0, 1_000_000).ArrayOf(length));

        /// <summary>The sequences, as ids of the vocabulary.</summary>
        public int[][] Tokens => [.. Sequences.Select(tokens => tokens.Select(token => token % Model.Vocab).ToArray())];

        public IEnumerable<Run> Shrink() =>
        [
            .. Shrinking.Shorter(Sequences).Select(x => this with { Sequences = x }),
            .. Sequences.SelectMany((tokens, i) => Shrinking.Shorter(tokens)
                .Select(shorter => this with { Sequences = [.. Sequences[..i], shorter, .. Sequences[(i + 1)..]] })),
            .. Shrinking.Shorter(Deal).Select(x => this with { Deal = x }),
            .. Model.Shrink().Where(x => x.SeqLen >= Sequences.Max(tokens => tokens.Length)).Select(x => this with { Model = x }),
        ];
    }

    [Property]
    public FsCheck.Property Rows_of_several_sequences_in_any_calls_give_the_bits_of_each_alone() =>
        Property.ForAll(Run.Any(Palettes.All), x => x.Shrink(), x =>
    {
        Weights weights = x.Model.CreateWeights();
        using ITransformer one = Create(x.Model.Config, weights, x.Model.Seed), dealt = Create(x.Model.Config, weights, x.Model.Seed + 1);
        float[][][] expected = [.. x.Tokens.Select(tokens => Logits.OneByOne(one, tokens))];
        KvCache[] caches = [.. x.Tokens.Select(_ => new KvCache(x.Model.Config))];
        int[] fed = new int[caches.Length];

        // each number of the deal is a sequence's turn (mod 3) and whether the call ends with it; the rest follows at the end
        List<(int Sequence, int Position)> rows = [];
        foreach (int turn in x.Deal)
        {
            int sequence = turn % caches.Length;
            if (fed[sequence] < x.Tokens[sequence].Length)
                rows.Add((sequence, fed[sequence]++));
            if (turn >= 9)
                Forward();
        }
        for (int sequence = 0; sequence < caches.Length; sequence++)
        {
            while (fed[sequence] < x.Tokens[sequence].Length)
                rows.Add((sequence, fed[sequence]++));
        }
        Forward();

        void Forward()
        {
            float[] output = new float[rows.Count * x.Model.Vocab];
            dealt.Forward([.. rows.Select(row => new Row(x.Tokens[row.Sequence][row.Position], caches[row.Sequence], Want.Logits))],
                output);
            for (int i = 0; i < rows.Count; i++)
                Bits.AssertEqual(expected[rows[i].Sequence][rows[i].Position], output.AsSpan(i * x.Model.Vocab, x.Model.Vocab));
            rows.Clear();
        }
    });

    [Property(MaxTest = 50)]
    public FsCheck.Property A_row_writes_what_it_wants_and_nothing_else() => Property.ForAll(Run.Any(Palettes.All), x => x.Shrink(), x =>
    {
        const float Untouched = 12345.678f;
        using ITransformer transformer = Create(x.Model.Config, x.Model.CreateWeights(), x.Model.Seed);
        int[] tokens = x.Tokens.FirstOrDefault() ?? [];
        float[][] logits = Logits.OneByOne(transformer, tokens);
        KvCache single = new(x.Model.Config), together = new(x.Model.Config);
        Want[] wants = [.. tokens.Select((_, i) => (Want)(x.Deal.ElementAtOrDefault(i) % 4))];

        List<float> expected = [];
        foreach ((int i, int token) in tokens.Index())
        {
            float[] embedding = new float[x.Model.Config.Dim];
            transformer.Forward([new Row(token, single, Want.Embedding)], embedding);
            expected.AddRange(wants[i] switch
            {
                Want.Logits => logits[i],
                Want.Token => [Sampler.ArgMax(logits[i])],
                Want.Embedding => embedding,
                _ => [],
            });
        }
        expected.AddRange([Untouched, Untouched]);

        float[] output = new float[expected.Count];
        Array.Fill(output, Untouched);
        transformer.Forward([.. tokens.Select((token, i) => new Row(token, together, wants[i]))], output);
        Bits.AssertEqual([.. expected], output);
        Assert.Equal(tokens.Length, together.Length);
    });

    [Property(MaxTest = 50)]
    public FsCheck.Property A_cache_cut_back_goes_on_as_if_the_rest_had_never_been() => Property.ForAll(Run.Any(Palettes.All)
        .Where(x => x.Tokens[0].Length > 1), x => x.Shrink().Where(y => y.Tokens is [{ Length: > 1 }, ..]), x =>
    {
        using ITransformer transformer = Create(x.Model.Config, x.Model.CreateWeights(), x.Model.Seed);
        int[] tokens = x.Tokens[0];
        int kept = 1 + (x.Deal.Sum() % (tokens.Length - 1));
        float[][] expected = Logits.OneByOne(transformer, tokens);
        KvCache cache = new(x.Model.Config);
        transformer.Forward([.. tokens.Select((token, i) => new Row(i < kept ? token : (token + 1) % x.Model.Vocab, cache))], []);
        cache.Truncate(kept);
        float[] output = new float[(tokens.Length - kept) * x.Model.Vocab];
        transformer.Forward([.. tokens[kept..].Select(token => new Row(token, cache, Want.Logits))], output);
        Bits.AssertEqual([.. expected[kept..].SelectMany(logits => logits)], output);
    });

    [Property(MaxTest = 50)]
    public FsCheck.Property Rows_that_cannot_be_fed_change_nothing() =>
        Property.ForAll(Run.Any(Palette.Normal).Where(x => x.Tokens[0].Length > 0), x =>
        x.Shrink().Where(y => y.Tokens is [{ Length: > 0 }, ..]), x =>
    {
        using ITransformer transformer = Create(x.Model.Config, x.Model.CreateWeights(), x.Model.Seed);
        int[] tokens = x.Tokens[0];
        KvCache cache = new(x.Model.Config), other = new(x.Model.Config with { Dim = x.Model.Config.Dim * 2 });
        float[] output = new float[x.Model.Vocab];
        Row[] good = [.. tokens.Select(token => new Row(token, cache))];

        Assert.Throws<ArgumentOutOfRangeException>(() => transformer.Forward([.. good, new Row(x.Model.Vocab, cache)], []));
        Assert.Throws<ArgumentOutOfRangeException>(() => transformer.Forward([.. good, new Row(-1, cache)], []));
        Assert.Throws<ArgumentException>(() => transformer.Forward([.. good, new Row(0, other)], []));
        Assert.Throws<ArgumentException>(() =>
            transformer.Forward([.. good[..^1], good[^1] with { Want = Want.Logits }], new float[x.Model.Vocab - 1]));
        Assert.Throws<ContextFullException>(() => transformer.Forward([.. Enumerable.Repeat(good[0], x.Model.SeqLen + 1)], []));
        Assert.Equal((0, 0), (cache.Length, other.Length));

        transformer.Forward([.. good[..^1], good[^1] with { Want = Want.Logits }], output);
        Bits.AssertEqual(Logits.OneByOne(transformer, tokens)[^1], output);
    });
}
