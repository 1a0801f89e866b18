using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Llama2.Fast;
using Llama2.Tests.Properties;
using Property = Llama2.Tests.Properties.Property;

namespace Llama2.Tests.Fast;

/// <summary>A row that wants its token gets the argmax of its logits, with a shortlist and without.</summary>
public sealed class TokenTests
{
    private sealed record Run(ModelShape Model, int[] Wants, int PerCall)
    {
        public static readonly Gen<Run> Any =
            from model in ModelShape.Generator(Palettes.All)
            from wants in Gen.Choose(0, 7).NonEmptyListOf().Resize(30)
            from perCall in Gen.Choose(1, 12)
            select new Run(model, [.. wants.Take(model.SeqLen)], perCall);

        public IEnumerable<Run> Shrink() =>
        [
            .. Shrinking.Shorter(Wants).Where(wants => wants.Length > 0).Select(wants => this with { Wants = wants }),
            .. Model.Shrink().Where(model => model.SeqLen >= Wants.Length).Select(model => this with { Model = model }),
            .. Shrinking.Towards(1, PerCall).Select(perCall => this with { PerCall = perCall }),
        ];

        // half of the rows want a token
        public Want Want(int i) => Wants[i] < 4 ? (Want)Wants[i] : Llama2.Simple.Want.Token;

        public int Token(int i) => (int)((i * 7919L + Model.Seed) % Model.Vocab);
    }

    [Property(MaxTest = 150)]
    public FsCheck.Property A_token_is_the_argmax_of_the_logits_in_any_call() => Property.ForAll(Run.Any, x => x.Shrink(), x =>
    {
        string kernel = FastTransformer.KernelNames[x.Model.Seed % FastTransformer.KernelNames.Count];
        using FastTransformer transformer = new(x.Model.Config, x.Model.CreateWeights(), 1 + x.Model.Seed % 3, kernel, minShortlist: 0);
        KvCache cache = new(x.Model.Config), other = new(x.Model.Config);
        float[] logits = new float[x.Model.Vocab];
        foreach (int[] call in Enumerable.Range(0, x.Wants.Length).Chunk(x.PerCall))
        {
            Row[] rows = [.. call.Select(i => new Row(x.Token(i), cache, x.Want(i)))];
            float[] output = new float[RowChecks.OutputLength(x.Model.Config, rows)];
            transformer.Forward(rows, output);
            Span<float> rest = output;
            foreach (int i in call)
            {
                transformer.Forward([new Row(x.Token(i), other, Want.Logits)], logits);
                if (x.Want(i) == Want.Token)
                    Assert.Equal(Sampler.ArgMax(logits), rest[0]);
                else if (x.Want(i) == Want.Logits)
                    Bits.AssertEqual(logits, rest[..logits.Length], "logits");
                rest = rest[RowChecks.OutputLength(x.Model.Config, x.Want(i))..];
            }
        }
    });

    [Fact]
    public void Tokens_of_a_large_batch_are_those_of_single_rows()
    {
        ModelShape shape = new(0, 16, 1, 2, 16, 1, 2000, 300, Shared: true, 0, Palette.Normal, 6);
        using FastTransformer transformer = new(shape.Config, shape.CreateWeights(), 2, null, minShortlist: 0);
        KvCache one = new(shape.Config), all = new(shape.Config);
        float[] expected = new float[300], actual = new float[300];
        for (int i = 0; i < expected.Length; i++)
            transformer.Forward([new Row(i * 7 % 2000, one, Want.Token)], expected.AsSpan(i));
        transformer.Forward([.. Enumerable.Range(0, 300).Select(i => new Row(i * 7 % 2000, all, Want.Token))], actual);
        Assert.Equal(expected, actual);
        Assert.True(expected.Distinct().Count() > 20);
    }

    [Fact]
    public void Nothing_is_computed_after_the_end()
    {
        ModelShape shape = new(0, 8, 1, 1, 1, 1, 5, 4, Shared: true, 0, Palette.Normal, 1);
        FastTransformer transformer = new(shape.Config, shape.CreateWeights(), 1);
        transformer.Dispose();
        Assert.Throws<ObjectDisposedException>(() =>
            transformer.Forward([new Row(1, new KvCache(shape.Config), Want.Token)], new float[1]));
    }
}
