namespace Llama2.Fast.Pass;

/// <summary>
/// Keys, values and queries of xb: the rows of wk, wv and wq are one list, which the chunks divide. Keys are turned, and go into the caches
/// as values do; queries stay.
/// </summary>
internal sealed unsafe class Qkv(RunState state) : MatrixRegion(state)
{
    public static readonly Range All = .., KeysAndValues = ..2, Queries = 2..;

    private readonly Activations[] _outputs = [state.K, state.V, state.Q];
    private Matrix[] _matrices = [];
    private float*[] _biases = [];
    private int _layer, _first, _count;

    public Qkv Over(Layer w, int layer, Range matrices)
    {
        (_matrices, _layer) = (w.Kvq, layer);
        _biases = w.KvqBiases;
        (_first, _count) = matrices.GetOffsetAndLength(_matrices.Length);
        int rows = 0;
        foreach (Matrix matrix in _matrices.AsSpan(_first, _count))
            rows += matrix.Rows;
        Cut(rows, _matrices[0], State.Rows);
        return this;
    }

    protected override void Multiply(int first, int count, int thread)
    {
        Inputs x = State.Xb.Rows(0, State.Rows);
        for (int i = _first, end = first + count; i < _first + _count; i++)
        {
            Matrix w = _matrices[i];
            Activations o = _outputs[i];
            int from = Math.Max(first, 0), rows = Math.Min(end, w.Rows) - from;
            if (rows > 0)
            {
                Multiply(w, from, rows, x, o[0], o.Stride, add: false, thread);
                AddBias(o[0], o.Stride, State.Rows, _biases[i], from, rows);
                Store(o, from, rows);
            }
            (first, end) = (first - w.Rows, end - w.Rows);
        }
    }

    private void Store(Activations o, int first, int count)
    {
        for (int i = 0; o != State.Q && i < State.Rows; i++)
        {
            if (o == State.K)
                State.Rotate(o, i, first, count);
            (Simple.KvCache cache, int position) = (State.Caches[i], State.Positions[i]);
            Span<float> to = o == State.K ? cache.Key(_layer, position) : cache.Value(_layer, position);
            o.Row(i).Slice(first, count).CopyTo(to[first..]);
        }
    }
}
