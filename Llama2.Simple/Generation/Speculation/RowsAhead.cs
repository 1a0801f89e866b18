namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// What one forward pass has computed for drafts: their rows are in the cache beyond its length, their results here. A row is taken once
/// its token has turned out to be the text's; until then nothing shows of it.
/// </summary>
internal sealed class RowsAhead
{
    private readonly int[] _drafts = new int[DraftPolicy.MaxDrafts];
    private DraftPolicy? _policy;
    private Memory<float> _output; // of the batch, which keeps it until its next forward pass
    private int _count, _taken, _position, _drafter;

    public int Count => _count; // rows of the step, taken or not

    /// <summary>Asks for at most <paramref name="max"/> drafts of what follows the sequence's last token.</summary>
    public ReadOnlySpan<int> Draft(Sequence sequence, int max, DraftPolicy policy)
    {
        (_policy, _position, _taken) = (policy, sequence.Fed + 1, 0);
        ulong state = sequence.Sampler.RandomState;
        try
        {
            (_count, _drafter) = policy.Ask(sequence, _drafts.AsSpan(0, Math.Clamp(max, 0, _drafts.Length)));
        }
        finally
        {
            sequence.Sampler.RandomState = state;
            sequence.Cache.Truncate(_position - 1);
        }
        return _drafts.AsSpan(0, _count);
    }

    public void SetOutput(Memory<float> output) => _output = output;

    /// <summary>Takes the next row if it is that of the last token, which the cache lacks.</summary>
    /// <returns>Its result.</returns>
    public Memory<float>? TakeNext(Sequence sequence)
    {
        if (_taken == _count || sequence.Fed != _position + _taken || sequence.Tokens.Length != sequence.Fed + 1)
            return null;
        bool isRight = sequence.Tokens[^1] == _drafts[_taken];
        _policy!.Verify(_drafter, isRight);
        if (!isRight)
            return null;
        sequence.Cache.Advance();
        int length = _output.Length / _count;
        return _output.Slice(length * _taken++, length);
    }

    public void Clear() => (_count, _taken, _output) = (0, 0, default);
}
