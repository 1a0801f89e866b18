using Llama2.Simple.Generation.Speculation;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Shared;

/// <summary>A drafter that drafts as a function says: of its sequence, at most so many tokens.</summary>
internal sealed class TestDrafter(Func<Sequence, int, IEnumerable<int>> drafts, int most = DraftPolicy.MaxDrafts) : IDrafter
{
    public void Draft(ReadOnlySpan<Drafts> asked)
    {
        foreach (Drafts text in asked)
        {
            text.Wanted = Math.Min(most, text.Wanted);
            foreach (int token in drafts(text.Sequence, text.Wanted).Take(text.Wanted))
                text.Add(token);
        }
    }
}

internal static class Drafters
{
    /// <summary>A drafter of a kind.</summary>
    /// <param name="text">The tokens that the sequence will have, as sampled; they may be fewer.</param>
    /// <param name="copy">The model of a drafter that runs one.</param>
    public static IDrafter Create(this DrafterKind kind, int[] text, ITransformer copy, int most, int seed)
    {
        int vocab = copy.Config.VocabSize;
        Random random = new(seed);
        return kind switch
        {
            DrafterKind.Lookup => new AtMost(new LookupDrafter(), most),
            DrafterKind.Self => new AtMost(new SelfDrafter(new Lazy<ITransformer>(copy)), most),
            DrafterKind.Right => new TestDrafter((sequence, _) => Rest(sequence), most),
            DrafterKind.Wrong => new TestDrafter((sequence, _) => Rest(sequence).Select(token => (token + 1) % vocab), most),
            _ => new TestDrafter(Guess, most),
        };

        IEnumerable<int> Rest(Sequence sequence) => text.Skip(sequence.Tokens.Length).Concat(Enumerable.Repeat(0, DraftPolicy.MaxDrafts));

        IEnumerable<int> Guess(Sequence sequence, int max)
        {
            if (random.Next(3) == 0)
                copy.Forward([.. Enumerable.Range(0, max).Select(_ => new Row(random.Next(vocab), sequence.Cache))], []);
            if (random.Next(3) == 0)
                sequence.Sampler.RandomState = (ulong)random.NextInt64(1, long.MaxValue);
            int right = random.Next(max + 1);
            return Rest(sequence).Take(random.Next(max + 1)).Select((token, i) => i < right ? token : random.Next(vocab)).ToArray();
        }
    }

    private sealed class AtMost(IDrafter drafter, int most) : IDrafter
    {
        public void Draft(ReadOnlySpan<Drafts> asked)
        {
            foreach (Drafts text in asked)
                text.Wanted = Math.Min(most, text.Wanted);
            drafter.Draft(asked);
        }
    }
}
