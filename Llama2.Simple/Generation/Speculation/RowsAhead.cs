namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// What one forward pass has computed for drafts: their rows are in the cache beyond its length, their results here. A row is taken once
/// its token has turned out to be the text's; until then nothing shows of it.
/// </summary>
internal sealed class RowsAhead
{
    private DraftPolicy? _policy;
    private Drafts? _drafts;
    private Memory<float> _output; // of the batch, which keeps it until its next forward pass
    private int _taken, _position;
    private ulong _randomState;    // before the drafts

    public ReadOnlySpan<int> Tokens => _drafts is null ? [] : _drafts.Tokens; // of the step's rows, taken or not

    /// <summary>Asks for at most <paramref name="max"/> drafts of what follows the sequence's last token.</summary>
    public Drafts BeginDrafts(Sequence sequence, int max, DraftPolicy policy)
    {
        (_policy, _position, _taken, _randomState) = (policy, sequence.Fed + 1, 0, sequence.Sampler.RandomState);
        return _drafts = new Drafts(sequence, max);
    }

    /// <summary>Takes back what drafters did to the sampler and the cache.</summary>
    public void EndDrafts(Sequence sequence)
    {
        sequence.Sampler.RandomState = _randomState;
        sequence.Cache.Truncate(_position - 1);
    }

    public void SetOutput(Memory<float> output) => _output = output;

    /// <summary>Takes the next row if it is that of the last token, which the cache lacks.</summary>
    /// <returns>Its result.</returns>
    public Memory<float>? TakeNext(Sequence sequence)
    {
        int count = Tokens.Length;
        if (_taken == count || sequence.Fed != _position + _taken || sequence.Tokens.Length != sequence.Fed + 1)
            return null;
        bool isRight = sequence.Tokens[^1] == Tokens[_taken];
        _policy!.Verify(sequence, _drafts!.Drafter, isRight);
        if (!isRight)
            return null;
        sequence.Cache.Advance();
        int length = _output.Length / count;
        return _output.Slice(length * _taken++, length);
    }

    public void Clear() => (_drafts, _taken, _output) = (null, 0, default);
}
