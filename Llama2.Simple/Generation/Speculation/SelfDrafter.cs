namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// Drafts with a smaller copy of the model's own weights. The copy works on the text's own cache, after the keys and values of the model
/// itself; its own are overwritten when the drafts are verified, so there is no second cache. It draws with the coins that the sampler
/// will use, so that a draft is right wherever the copy's probabilities are near enough. Texts that share it are drafted together: each
/// of its forward passes computes one draft of each.
/// </summary>
/// <param name="copy">Of the same shape. It is made for the first draft.</param>
public sealed class SelfDrafter(Lazy<ITransformer> copy) : IDrafter
{
    private float[] _output = [];

    public bool IsReady => copy.IsValueCreated;

    public void Draft(ReadOnlySpan<Drafts> asked)
    {
        List<Drafts> going = [.. asked];
        while (true)
        {
            going.RemoveAll(static text => text.Count == text.Wanted);
            if (going.Count == 0)
                return;
            DraftOne(going);
        }
    }

    private void DraftOne(List<Drafts> texts)
    {
        Row[] rows = [.. texts.Select(text => new Row(
            text.Count > 0 ? text.Tokens[^1] : text.Sequence.Tokens[^1], text.Sequence.Cache, WantOf(text.Sequence)))];
        int length = RowChecks.OutputLength(copy.Value.Config, rows);
        if (_output.Length < length)
            _output = new float[length];
        copy.Value.Forward(rows, _output);
        Span<float> output = _output;
        for (int i = 0; i < rows.Length; i++)
        {
            Span<float> own = output[..RowChecks.OutputLength(copy.Value.Config, rows[i].Want)];
            output = output[own.Length..];
            Sequence sequence = texts[i].Sequence;
            int draft = rows[i].Want == Want.Token ? (int)own[0]
                : sequence.Sample(own, sequence.Filters.Count == 0 ? [] : [.. sequence.Tokens, .. texts[i].Tokens]);
            if (sequence.IsEnd(draft))
                texts[i].Wanted = texts[i].Count; // nothing follows it
            else
                texts[i].Add(draft);
        }
    }

    private static Want WantOf(Sequence sequence) =>
        sequence.Sampler.Temperature == 0 && sequence.Filters.Count == 0 ? Want.Token : Want.Logits;
}
