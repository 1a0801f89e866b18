using FsCheck;
using FsCheck.Fluent;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Tests.Golden;
using Llama2.Tests.Properties;
using Property = Llama2.Tests.Properties.Property;

namespace Llama2.Tests.Fast;

/// <summary>The last steps of Fast, one by one and in a session.</summary>
public sealed class LanguageHeadTests
{
    /// <summary>A session that asks for logits and one that asks for tokens say the same, whatever is asked first.</summary>
    [Fact]
    public void A_greedy_session_has_the_logits_and_the_tokens_of_the_forward_pass() => Property.Holds(
        ModelShape.Generator(Palettes.All).Where(model => model.SeqLen > 2), model => model.Shrink().Where(x => x.SeqLen > 2), model =>
    {
        using FastTransformer transformer = new(model.Config, model.CreateWeights(), 1 + (model.Seed % 2), null, leastShortlist: 0);
        KvCache cache = new(model.Config);
        float[] logits = new float[model.Vocab];
        Session greedy = new(transformer, new Sampler(model.Vocab, 0, 0, 1));
        int token = model.Seed % model.Vocab;
        for (int i = 0; i < Math.Min(model.SeqLen, 12); i++)
        {
            transformer.Forward([new Row(token, cache, Want.Logits)], logits);
            greedy.Feed([token], TestContext.Current.CancellationToken);
            if ((model.Seed + i) % 3 == 0)
                Bits.AssertEqual(logits, greedy.Logits, "logits before the token");
            token = greedy.Sample();
            Assert.Equal(Sampler.ArgMax(logits), token);
            if ((model.Seed + i) % 3 == 1)
                Bits.AssertEqual(logits, greedy.Logits, "logits after the token");
            Assert.Equal(token, greedy.Sample());
        }
    }, tests: 60);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_sampling_session_has_the_tokens_of_a_sampler_without_it(int topp)
    {
        Assert.SkipUnless(Glibc.IsMathF, Glibc.Verdict);
        Gen<ModelShape> models = ModelShape.Generator(Palette.Normal, Palette.Outlier, Palette.Zeros).Where(model => model.SeqLen > 2);
        Property.Holds(models, model => model.Shrink().Where(x => x.SeqLen > 2), model =>
        {
            float temperature = 0.5f + (model.Seed % 10 / 10f), p = topp * 0.9f;
            using FastTransformer transformer = new(model.Config, model.CreateWeights(), 1 + (model.Seed % 2));
            Session session = new(transformer, new Sampler(model.Vocab, temperature, p, 7));
            Sampler sampler = new(model.Vocab, temperature, p, 7);
            int token = 0;
            for (int i = 0; i < Math.Min(model.SeqLen, 12); i++)
            {
                session.Feed([token], TestContext.Current.CancellationToken);
                token = session.Sample();
                Assert.Equal(sampler.Sample(session.Logits.ToArray()), token);
            }
        }, tests: 40);
    }

    [Fact]
    public void Its_softmax_is_Simple_s_with_every_kernel()
    {
        Assert.SkipUnless(Glibc.IsMathF, Glibc.Verdict);
        foreach (string kernel in FastTransformer.KernelNames)
        {
            foreach (int vocab in (int[])[3, 16, 105, 1000])
            {
                ModelShape shape = new(0, 2, 1, 1, 1, 1, vocab, 4, Shared: true, 0, Palette.Normal, 1);
                using FastTransformer transformer = new(shape.Config, shape.CreateWeights(), 1, kernel);
                foreach (Palette palette in Palettes.All)
                {
                    foreach (float temperature in (float[])[1, 0.3f, 1e-20f])
                    {
                        float[] expected = palette.Numbers(new Random(vocab), vocab, 10), actual = [.. expected];
                        Sampler.Softmax(expected, temperature);
                        transformer.Softmax(actual, temperature);
                        Bits.AssertEqual(expected, actual, $"{kernel}, {vocab} {palette} logits at {temperature}");
                    }
                }
                Assert.Throws<ArgumentOutOfRangeException>("logits", () => transformer.Softmax(new float[vocab + 1], 1));
            }
        }
    }

    [Fact]
    public void States_and_logits_of_another_length_are_refused_and_nothing_is_had_after_the_end()
    {
        ModelShape shape = new(0, 8, 1, 1, 1, 1, 5, 4, Shared: true, 0, Palette.Normal, 1);
        FastTransformer transformer = new(shape.Config, shape.CreateWeights(), 1);
        Assert.Throws<ArgumentOutOfRangeException>("embedding", () => transformer.ArgMax(new float[15]));
        Assert.Throws<ArgumentOutOfRangeException>("embedding", () => transformer.Classify(new float[17], new float[5]));
        Assert.Throws<ArgumentOutOfRangeException>("logits", () => transformer.Classify(new float[16], new float[4]));

        Session session = new(transformer, new Sampler(5, 0, 0, 1));
        session.Feed([1], TestContext.Current.CancellationToken);
        transformer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => session.Sample());
        Assert.Throws<ObjectDisposedException>(() => session.Logits.Length);
        Assert.Throws<ObjectDisposedException>(() => session.Feed([1], TestContext.Current.CancellationToken));
        Assert.Throws<ObjectDisposedException>(() => transformer.Softmax(new float[5], 1));
    }

    [Fact]
    public void Greedy_decoding_allocates_nothing()
    {
        ModelShape shape = new(0, 32, 1, 1, 8, 1, 3000, 64, Shared: true, 0, Palette.Normal, 4);
        using FastTransformer transformer = new(shape.Config, shape.CreateWeights(), 2, null, leastShortlist: 0);
        Session session = new(transformer, new Sampler(shape.Vocab, 0, 0, 1));
        for (int i = 0; i < 4; i++)
            Step();
        long least = long.MaxValue; // see Decoding_allocates_nothing
        for (int attempt = 0; attempt < 5; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 40; i++)
                Step();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, least);

        void Step()
        {
            session.Truncate(0);
            session.Feed([7], CancellationToken.None);
            session.Sample();
        }
    }
}
