using System.Runtime.InteropServices;
using Llama2.Simple.Generation.Speculation;

namespace Llama2.Simple.Generation;

/// <summary>
/// The loop that generates: each step is one forward pass for all its sequences, so that the weights are read once for all. A sequence's
/// tokens do not depend on the others.
/// </summary>
/// <param name="policy">Has sequences with drafters take several tokens a step; without it none does. It changes only the time.</param>
public sealed class Batch(ITransformer transformer, DraftPolicy? policy = null)
{
    private readonly List<Sequence> _sequences = [];
    private readonly List<int> _rowCounts = []; // of each sequence
    private readonly List<Row> _rows = [];
    private float[] _output = [];

    public int Count => _sequences.Count; // sequences that go on

    /// <summary>Adds a sequence that has tokens to feed; it leaves when it has ended.</summary>
    public void Add(Sequence sequence)
    {
        ArgumentOutOfRangeException.ThrowIfEqual(sequence.Fed, sequence.Tokens.Length, nameof(sequence));
        _sequences.Add(sequence);
    }

    public void Remove(Sequence sequence)
    {
        sequence.ForgetAhead();
        _sequences.Remove(sequence);
    }

    /// <summary>
    /// Feeds each sequence its next tokens: of a prompt at most <see cref="ITransformer.PreferredRows"/>, after that one and its drafts,
    /// and samples the token that follows, and those that follow drafts that are right.
    /// </summary>
    public void Step() => Step(null);

    private void Step(Sequence? oneByOne)
    {
        _rows.Clear();
        _rowCounts.Clear();
        int decoding = _sequences.Count(static sequence => sequence.IsDecoding);
        _sequences.ForEach(static sequence => sequence.ForgetAhead());
        policy?.Begin(decoding, _sequences.Count - decoding);
        policy?.Draft(_sequences);
        foreach (Sequence sequence in _sequences)
        {
            int before = _rows.Count;
            sequence.AddRows(_rows, transformer.PreferredRows);
            _rowCounts.Add(_rows.Count - before);
        }
        ReadOnlySpan<Row> rows = CollectionsMarshal.AsSpan(_rows);
        int length = RowChecks.OutputLength(transformer.Config, rows);
        if (_output.Length < length)
            _output = new float[length];
        policy?.BeginForward();
        transformer.Forward(rows, _output);
        policy?.EndForward();

        Memory<float> output = _output;
        for (int i = 0; i < _sequences.Count; i++)
        {
            ReadOnlySpan<Row> own = rows[.._rowCounts[i]];
            length = RowChecks.OutputLength(transformer.Config, own);
            _sequences[i].Accept(own, output[..length]);
            if (_sequences[i] != oneByOne)
                _sequences[i].TakeAllAhead();
            rows = rows[own.Length..];
            output = output[length..];
        }
        _sequences.RemoveAll(static sequence => sequence.End is not null);
    }

    /// <summary>
    /// Runs one more sequence to its end and returns the text that each token adds, which may be empty. A reader that stops reading
    /// cancels it.
    /// </summary>
    public IEnumerable<string> Run(Sequence sequence, CancellationToken cancellation = default)
    {
        Add(sequence);
        try
        {
            while (sequence.End is null && !cancellation.IsCancellationRequested)
            {
                if (!sequence.TakeAhead())
                    Step(sequence);
                yield return sequence.NewText;
            }
        }
        finally
        {
            Remove(sequence);
            if (sequence.End is null)
            {
                sequence.Finish(TextEnd.Cancelled);
            }
        }
        if (sequence.End == TextEnd.Cancelled)
            yield return sequence.NewText;
    }
}
