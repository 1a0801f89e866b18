using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Llama2.Fast;

namespace Llama2.Tests.Properties;

/// <summary>What holds for sessions of every model, however they sample.</summary>
public sealed class SessionProperties
{
    private sealed record Saving(ModelShape Model, int[] Prompt, int Before, int After, float Temperature, float TopP, int Seed,
        bool IsFast)
    {
        public static readonly Gen<Saving> Any =
            from model in ModelShape.Generator(Palettes.Tame)
            where model.SeqLen > 4
            from prompt in Gen.Choose(0, 1_000_000).NonEmptyListOf().Resize(12)
            from before in Gen.Choose(1, 8)
            from after in Gen.Choose(1, 8)
            from temperature in Gen.Elements(0f, 0.8f, 1f, 5f)
            from topp in Gen.Elements(0f, 0.5f, 0.9f)
            from seed in Gen.Choose(1, int.MaxValue)
            from isFast in Gen.Elements(false, true)
            select new Saving(model, [.. prompt.Take(model.SeqLen - 2)], before, after, temperature, topp, seed, isFast);

        public IEnumerable<Saving> Shrink() =>
        [
            .. Shrinking.Shorter(Prompt).Where(x => x.Length > 0).Select(x => this with { Prompt = x }),
            .. Shrinking.Towards(1, Before).Select(x => this with { Before = x }),
            .. Shrinking.Towards(1, After).Select(x => this with { After = x }),
            .. Model.Shrink().Where(x => x.SeqLen >= Prompt.Length + 2).Select(x => this with { Model = x }),
        ];
    }

    [Property(MaxTest = 60)]
    public FsCheck.Property A_session_saved_and_restored_goes_on_with_the_same_bits() => Property.ForAll(Saving.Any, x => x.Shrink(), x =>
    {
        Weights weights = x.Model.CreateWeights();
        using ITransformer transformer = x.IsFast ? new FastTransformer(x.Model.Config, weights) : new Transformer(x.Model.Config, weights);
        string implementation = x.IsFast ? "fast" : "simple";
        byte[] fingerprint = new byte[32];
        int room = x.Model.SeqLen - x.Prompt.Length;

        Sequence sequence = new(x.Model.Config, new Sampler(x.Model.Vocab, x.Temperature, x.TopP, (ulong)x.Seed));
        sequence.Append([.. x.Prompt.Select(token => token % x.Model.Vocab)]);
        Continue(transformer, sequence, Math.Min(x.Before, room));

        using MemoryStream stream = new();
        SavedSession state = new([.. sequence.Tokens], sequence.Cache, x.Temperature, x.TopP, sequence.Sampler.RandomState);
        SessionFile.Write(stream, state, x.Model.Config, fingerprint, implementation);
        using TemporaryFile file = new(stream.ToArray());
        SavedSession saved = SessionFile.Read(file.Path, x.Model.Config, fingerprint, implementation);
        Sampler sampler = new(x.Model.Vocab, saved.Temperature, saved.TopP, saved.RandomState);
        Sequence restored = new(x.Model.Config, sampler, saved.Cache, saved.Tokens);

        int after = Math.Min(x.After, x.Model.SeqLen - sequence.Fed);
        Assert.Equal(Continue(transformer, sequence, after), Continue(transformer, restored, after));
        int last = x.Model.Config.LayerCount - 1;
        Bits.AssertEqual(sequence.Cache.Value(last, sequence.Fed - 1), restored.Cache.Value(last, sequence.Fed - 1));
    });

    private static int[] Continue(ITransformer transformer, Sequence sequence, int tokens)
    {
        int before = sequence.Tokens.Length;
        sequence.Append([]);
        sequence.MaxNewTokens = tokens;
        foreach (string _ in new Batch(transformer).Run(sequence, TestContext.Current.CancellationToken))
            continue;
        return [.. sequence.Tokens[before..]];
    }
}
