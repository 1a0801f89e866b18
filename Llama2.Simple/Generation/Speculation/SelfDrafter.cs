using System.Runtime.InteropServices;

namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// Drafts with a smaller copy of the model's own weights. The copy works on the text's own cache, after the keys and values of the model
/// itself; its own are overwritten when the drafts are verified, so there is no second cache. It draws with the coins that the sampler
/// will use, so that a draft is right wherever the copy's probabilities are near enough.
/// </summary>
/// <param name="copy">Of the same shape. It is made for the first draft, and may serve several drafters in turn.</param>
public sealed class SelfDrafter(Lazy<ITransformer> copy) : IDrafter
{
    private readonly List<int> _tokens = []; // the text and its drafts, for filters
    private float[] _output = [];

    public bool IsReady => copy.IsValueCreated;

    public int Draft(Sequence sequence, Span<int> drafts)
    {
        bool isGreedy = sequence.Sampler.Temperature == 0 && sequence.Filters.Count == 0;
        Want want = isGreedy ? Want.Token : Want.Logits;
        if (_output.Length == 0)
            _output = new float[copy.Value.Config.VocabSize];
        _tokens.Clear();
        _tokens.AddRange(sequence.Tokens);
        for (int i = 0; i < drafts.Length; i++)
        {
            copy.Value.Forward([new Row(_tokens[^1], sequence.Cache, want)], _output);
            int draft = isGreedy ? (int)_output[0] : sequence.Sample(_output, CollectionsMarshal.AsSpan(_tokens));
            if (sequence.IsEnd(draft))
                return i; // nothing follows it
            drafts[i] = draft;
            _tokens.Add(draft);
        }
        return drafts.Length;
    }
}
