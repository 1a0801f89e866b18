using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Fast;

// The language head: from the state after the final norm to what a row wants of it, and to a token.
internal sealed unsafe partial class ForwardPass<TLanes, TInt8>
    where TLanes : struct, ILanes<TLanes>
    where TInt8 : struct, IInt8<TInt8>
{
    private readonly Matrix _classifier;
    private readonly Shortlist<TLanes, TInt8>? _shortlist;
    private readonly Activations _allLogits; // (1, vocab_size), where nobody else wants them
    private float* _logits;                  // of the present region

    public override void Classify(ReadOnlySpan<float> embedding, Span<float> logits)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(embedding.Length, Config.Dim, nameof(embedding));
        ArgumentOutOfRangeException.ThrowIfNotEqual(logits.Length, Config.VocabSize, nameof(logits));
        using Lock.Scope scope = Enter();
        SetState(embedding);
        fixed (float* o = logits)
            Classify(o, 0, 1);
    }

    public override int ArgMax(ReadOnlySpan<float> embedding)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(embedding.Length, Config.Dim, nameof(embedding));
        using Lock.Scope scope = Enter();
        SetState(embedding);
        int token = _shortlist?.ArgMax(_xb[0]) ?? -1;
        if (token >= 0)
            return token;
        _allLogits.EnsureRows(1);
        Classify(_allLogits[0], 0, 1);
        return Sampler.ArgMax(new ReadOnlySpan<float>(_allLogits[0], Config.VocabSize));
    }

    public override void Softmax(Span<float> logits, float temperature)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(logits.Length, Config.VocabSize, nameof(logits));
        using Lock.Scope scope = Enter();
        _allLogits.EnsureRows(1);
        Span<float> x = new(_allLogits[0], Config.VocabSize); // it has room for whole lanes
        logits.CopyTo(x);
        Nn<TLanes>.Divide(_allLogits[0], x.Length, temperature);
        Nn<TLanes>.Softmax(_allLogits[0], x.Length);
        x.CopyTo(logits);
    }

    public override long ShortlistBytes => _shortlist?.Bytes ?? 0;

    private void SetState(ReadOnlySpan<float> embedding)
    {
        EnsureRows(1);
        embedding.CopyTo(new Span<float>(_xb[0], Config.Dim));
        Quantize(_xb, 0, Config.Dim);
    }

    private void Output(float* output)
    {
        for (int i = 0, tokens; i < _rows; i += tokens)
        {
            tokens = 1;
            if (_wants[i] == Want.Embedding)
            {
                new ReadOnlySpan<float>(_xb[i], Config.Dim).CopyTo(new Span<float>(output, Config.Dim));
                output += Config.Dim;
                continue;
            }
            while (i + tokens < _rows && _wants[i + tokens] == Want.Logits)
                tokens++;
            Classify(output, i, tokens);
            output += (nint)tokens * Config.VocabSize;
        }
    }

    private void Classify(float* logits, int first, int tokens)
    {
        _logits = logits;
        (_firstToken, _tokens) = (first, tokens);
        MultiplyRows(_classify, 0, Config.VocabSize, _classifier);
    }

    private void Classify(int chunk, int thread)
    {
        (int first, int count) = MatrixRowsOf(chunk);
        Multiply(thread, _classifier, first, count, _xb, _logits + first, Config.VocabSize, add: false);
    }
}
