using System.Buffers;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Fast.Threads;
using Llama2.Tests.Properties;
using Config = Llama2.Simple.Config;
using Property = Llama2.Tests.Properties.Property;

namespace Llama2.Tests.Fast;

/// <summary>The token of the largest logit is found without most of the classifier, and is always the one that all logits give.</summary>
public sealed unsafe class ShortlistTests
{
    /// <summary>A classifier and states, by their kinds of numbers.</summary>
    /// <param name="Vocab">Rows.</param>
    /// <param name="SixteenthOfDim">Columns / 16.</param>
    /// <param name="Weights">Of the rows.</param>
    /// <param name="State">Of the state.</param>
    /// <param name="Copies">How many rows are near copies of others, in tenths.</param>
    /// <param name="Seed">Of the numbers.</param>
    private sealed record Classifier(int Vocab, int SixteenthOfDim, Palette Weights, Palette State, int Copies, int Seed)
    {
        public static Gen<Classifier> Any =>
            from vocab in Gen.Frequency((1, Gen.Choose(3, 70)), (3, Gen.Choose(200, 2000)))
            from dim in Gen.Choose(1, 12)
            from weights in Gen.Frequency((3, Gen.Constant(Palette.Normal)), (1, Gen.Elements(Palettes.All)))
            from state in Gen.Frequency((3, Gen.Constant(Palette.Normal)), (1, Gen.Elements(Palettes.All)))
            from copies in Gen.Choose(0, 9)
            from seed in Gen.Choose(1, 1_000_000)
            select new Classifier(vocab, dim, weights, state, copies, seed);

        public int Dim => 16 * SixteenthOfDim;

        public IEnumerable<Classifier> Shrink() =>
        [
            .. Shrinking.Towards(3, Vocab).Select(x => this with { Vocab = x }),
            .. Shrinking.Towards(1, SixteenthOfDim).Select(x => this with { SixteenthOfDim = x }),
            .. Shrinking.Towards(0, Copies).Select(x => this with { Copies = x }),
        ];

        public float[] Rows()
        {
            Random random = new(Seed);
            float[] rows = Weights.Numbers(random, Vocab * Dim);
            for (int i = 1; i < Vocab; i++)
            {
                if (random.Next(10) >= Copies)
                    continue;
                Span<float> row = rows.AsSpan(i * Dim, Dim);
                rows.AsSpan(random.Next(i) * Dim, Dim).CopyTo(row);
                float noise = random.Next(3) switch { 0 => 0, 1 => 1e-6f, _ => 1e-3f };
                for (int j = 0; j < Dim; j++)
                    row[j] *= 1 + (noise * ((2 * random.NextSingle()) - 1));
            }
            return rows;
        }
    }

    /// <summary>The logits of a state as Fast computes them.</summary>
    private static float[] Logits(float[] rows, float[] state)
    {
        float[] logits = new float[rows.Length / state.Length];
        fixed (float* w = rows, x = state)
        {
            for (int i = 0; i < logits.Length; i++)
                logits[i] = Kernel.All[^1].Dot(w + (nint)i * state.Length, x, state.Length);
        }
        return logits;
    }

    /// <summary>
    /// Asks a shortlist for the tokens of states, so many a call, and checks the answers, and that the logits are within the bounds
    /// from which they are drawn. Returns how many rows were listed for each.
    /// </summary>
    private static int[] Ask(Kernel kernel, int threads, float[] rows, float[][] states, int perCall = 1)
    {
        int dim = states[0].Length, vocab = rows.Length / dim;
        List<int> listed = [];
        using Lock.Scope scope = Team.Shared.Enter();
        List<MemoryHandle> pins = [];
        using Activations x = new(dim);
        using (Shortlist shortlist = new(new Matrix(new Float32Tensor(vocab, dim, rows), pins), kernel, threads))
        {
            foreach (float[][] call in states.Chunk(perCall))
            {
                // every other row
                int[] which = [.. Enumerable.Range(0, call.Length).Select(i => 2 * i)], tokens = new int[2 * call.Length];
                x.EnsureRows(2 * call.Length);
                foreach ((int i, float[] state) in call.Index())
                    state.CopyTo(x.Row(2 * i));
                shortlist.Find(x, which, tokens);
                foreach ((int i, float[] state) in call.Index())
                    listed.Add(Check(kernel, shortlist, i, Logits(rows, state), tokens[2 * i]));
            }
        }
        pins.ForEach(pin => pin.Dispose());
        return [.. listed];
    }

    private static int Check(Kernel kernel, Shortlist shortlist, int state, float[] logits, int token)
    {
        int listed = shortlist.Listed(state);
        if (token != Shortlist.NoToken)
            Assert.Equal(Sampler.ArgMax(logits), token);
        Assert.Equal(token != Shortlist.NoToken, listed < logits.Length || logits.Length == 1);
        float lower = shortlist.LowerBound(state);
        if (float.IsNaN(lower))
            return listed;
        ReadOnlySpan<float> upper = shortlist.UpperBounds(state);
        for (int row = 0; row < logits.Length; row++)
        {
            if (logits[row] > upper[row])
                Assert.Fail($"{kernel.Name}: logit {row} is {logits[row]:R}, beyond {upper[row]:R}");
        }
        if (!logits.Any(float.IsNaN))
            Assert.True(logits.Max() >= lower, $"{kernel.Name}: the largest logit is {logits.Max():R}, not {lower:R}");
        return listed;
    }

    [Property(MaxTest = 150)]
    public FsCheck.Property The_token_is_that_of_all_logits_and_each_logit_within_its_bound() =>
        Property.ForAll(Classifier.Any, x => x.Shrink(), x =>
    {
        float[] rows = x.Rows();
        foreach (Kernel kernel in Kernel.Available)
        {
            Random random = new(x.Seed);
            Ask(kernel, 1 + (x.Seed % 3), rows, [.. Enumerable.Range(0, 9).Select(_ => x.State.Numbers(random, x.Dim))], 1 + (x.Seed % 4));
        }
    });

    /// <summary>Sums that lose their last digits among denormals, which no relative error bounds.</summary>
    [Fact]
    public void The_bounds_hold_of_the_smallest_numbers()
    {
        const int Vocab = 300, Dim = 112;
        Random random = new(5);
        for (int exponent = -44; exponent < -10; exponent++)
        {
            float scale = MathF.Pow(10, exponent);
            float[] rows = [.. Enumerable.Range(0, Vocab * Dim).Select(_ => random.Next(2) == 0 ? scale : -scale)];
            float[][] states =
                [.. Enumerable.Range(10, 70).Select(smaller => Palette.Normal.Numbers(random, Dim, MathF.Pow(10, -smaller / 2f)))];
            Ask(Kernel.Available[0], 1, rows, states);
        }
    }

    [Fact]
    public void Of_many_rows_few_are_listed()
    {
        const int Vocab = 5000, Dim = 288;
        Random random = new(1);
        float[] rows = Palette.Normal.Numbers(random, Vocab * Dim), state = Palette.Normal.Numbers(random, Dim);
        foreach (Kernel kernel in Kernel.Available)
        {
            int[] listed = Ask(kernel, 2, rows, [state, state, state, state]);
            Assert.Equal(Vocab, listed[0]); // the first time it is not worth a copy
            Assert.All(listed[1..], count => Assert.InRange(count, 1, 100));
        }
    }

    /// <summary>
    /// Row 1's int8 falls short in every element and row 2's exceeds in every element, as far as half a step allows: row 2 seems the
    /// greater, by nine tenths of the bound.
    /// </summary>
    [Fact]
    public void Rows_as_far_from_their_int8_as_can_be_do_not_mislead()
    {
        const int Vocab = 400, Dim = 128;
        float[] rows = new float[Vocab * Dim], state = new float[Dim];
        for (int j = 0; j < Dim; j++)
        {
            state[j] = j % 2 == 0 ? 1 : -1;
            bool sets = j % 64 < 2; // an element that sets the scale of its group; two, which cancel out
            rows[Dim + j] = sets ? 127 : 0.49f * state[j];
            rows[(2 * Dim) + j] = sets ? 127 : ((j % 20 < 18 ? 1 : 0) - 0.49f) * state[j];
        }
        AssertFindsRow1(rows, state);
    }

    /// <summary>The same with a state that is far from its int8, and rows that are not.</summary>
    [Fact]
    public void A_state_as_far_from_its_int8_as_can_be_does_not_mislead()
    {
        const int Vocab = 400, Dim = 128;
        float[] rows = new float[Vocab * Dim], state = new float[Dim];
        for (int j = 0; j < Dim; j++)
        {
            int sign = j % 2 == 0 ? 1 : -1;
            bool sets = j % 64 < 2; // here both get something, so that they are beyond the other rows
            rows[Dim + j] = sets ? 1 : sign;
            rows[(2 * Dim) + j] = sets ? 1 : -sign;
            state[j] = sets ? 127 : sign * (0.49f - (j % 20 < 9 ? 1 : 0));
        }
        AssertFindsRow1(rows, state);
    }

    private static void AssertFindsRow1(float[] rows, float[] state)
    {
        Assert.Equal(1, Sampler.ArgMax(Logits(rows, state)));
        Assert.All(Ask(Kernel.Available[0], 1, rows, [state, state, state])[1..], count => Assert.InRange(count, 2, 10));
    }

    /// <summary>One state of many that has no list is no reason to do without it for the others.</summary>
    [Fact]
    public void States_of_a_call_are_listed_or_not_one_by_one()
    {
        const int Vocab = 2000, Dim = 64;
        Random random = new(4);
        float[] rows = Palette.Normal.Numbers(random, Vocab * Dim), zeros = new float[Dim], state = Palette.Normal.Numbers(random, Dim);
        int[] listed = Ask(Kernel.Available[0], 1, rows, [.. Enumerable.Repeat((float[][])[zeros, state, state, state], 4)
            .SelectMany(call => call)], 4);
        foreach (int[] call in listed[4..].Chunk(4))
        {
            Assert.Equal(Vocab, call[0]); // all logits are zero
            Assert.All(call[1..], count => Assert.InRange(count, 1, 100));
        }
    }

    [Fact]
    public void Where_any_row_may_have_the_largest_logit_there_is_no_list()
    {
        const int Vocab = 300, Dim = 64;
        float[] rows = [.. Enumerable.Repeat(Palette.Normal.Numbers(new Random(2), Dim), Vocab).SelectMany(row => row)], state =
            Palette.Normal.Numbers(new Random(3), Dim);
        Assert.All(Ask(Kernel.Available[0], 2, rows, [.. Enumerable.Repeat(state, 100)]), count => Assert.Equal(Vocab, count));
    }

    [Fact]
    public void It_is_for_large_float32_classifiers_of_whole_lanes()
    {
        Assert.Equal(0, Bytes(32000, 16));
        Assert.Equal(0, Bytes(65536, 68)); // no multiple of sixteen divides a row
        Assert.NotEqual(0, Bytes(65536, 64));

        static long Bytes(int vocab, int dim)
        {
            ModelShape shape = new(0, dim / 2, 1, 1, 1, 1, vocab, 4, Shared: true, 0, Palette.Zeros, 1);
            using FastTransformer transformer = new(shape.Config, shape.CreateWeights(), 1), int8 =
                new(shape.Config, (shape with { Version = 2 }).CreateWeights(), 1);
            Assert.Equal(0, int8.ShortlistBytes);
            return transformer.ShortlistBytes;
        }
    }
}
