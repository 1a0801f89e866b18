namespace Llama2.Fast.Pass;

/// <summary>
/// Makes the input of matrices: normalises rows, and quantises them where matrices are int8 or of blocks. A chunk has some rows.
/// </summary>
internal sealed unsafe class Prepare(RunState state) : Region
{
    private const int ChunkRows = 8;

    private Activations _x = state.Xb;
    private float* _weight;

    /// <summary>x = rmsnorm of the residual stream where weights for that are given; quantised where int8 matrices multiply x.</summary>
    public Prepare Over(Activations x, float* weight = null)
    {
        _x = x;
        _weight = weight;
        (Threads, Chunks) = (state.Threads, weight == null && x.Int8 is null && x.Blocks is null ? 0 : 1 + (state.Rows - 1) / ChunkRows);
        return this;
    }

    public override void Chunk(int chunk, int thread)
    {
        int end = Math.Min(state.Rows, (chunk + 1) * ChunkRows);
        for (int i = chunk * ChunkRows; i < end; i++)
        {
            if (_weight != null)
                state.Kernel.RmsNorm(_x[i], state.X[i], _weight, _x.Length, state.Config.NormEpsilon);
            if (_x.Int8 is not null)
                state.Kernel.Quantize(_x[i], _x.Length, _x.Int8, i);
            if (_x.Blocks is not null)
                state.Kernel.Quantize(_x[i], _x.Blocks, i);
        }
    }
}

/// <summary>Products with matrices; a chunk has some of their rows.</summary>
internal abstract unsafe class MatrixRegion(RunState state) : Region
{
    public const long MinBytes = 1 << 15;  // one thread alone is faster with less
    private const int ChunksPerThread = 2; // so that others can take the chunks of a thread that is delayed

    private int _rows, _chunkRows;

    protected readonly RunState State = state;

    /// <summary>Cuts that many rows of matrices like this one. A chunk has whole lanes, and so whole pairs of RoPE.</summary>
    protected void Cut(int rows, Matrix like, int tokens)
    {
        Threads = rows * like.RowBytes * tokens < MinBytes ? 1 : State.Threads;
        long chunks = Threads == 1 ? 1 : (long)Threads * ChunksPerThread;
        (_rows, _chunkRows) = (rows, Lanes.RoundUp(1 + (int)((rows - 1) / chunks)));
        Chunks = 1 + (rows - 1) / _chunkRows;
    }

    public override void Chunk(int chunk, int thread)
    {
        int first = chunk * _chunkRows;
        Multiply(first, Math.Min(_chunkRows, _rows - first), thread);
    }

    protected abstract void Multiply(int first, int count, int thread);

    /// <summary>o (+)= w @ x, some rows.</summary>
    protected void Multiply(Matrix w, int first, int count, in Inputs x, float* o, nint oStride, bool add, int thread) =>
        State.Kernel.Multiply(w, first, count, x, o + first, oStride, add, State.Team.Scratch(thread));

    /// <summary>o += bias, some elements of that many rows; nothing where bias is null.</summary>
    protected static void AddBias(float* o, nint oStride, int rows, float* bias, int first, int count)
    {
        for (int i = 0; bias != null && i < rows; i++)
        {
            for (int j = first; j < first + count; j++)
                o[i * oStride + j] += bias[j];
        }
    }
}

/// <summary>o (+)= w @ x, then o += bias.</summary>
internal sealed unsafe class Product(RunState state) : MatrixRegion(state)
{
    private Matrix? _w;
    private Activations? _x;
    private int _first, _count;
    private float* _o, _bias;
    private nint _oStride;
    private bool _add;

    public Product Over(Matrix w, Activations x, int first, int count, float* o, nint oStride, bool add, float* bias = null)
    {
        (_w, _x, _first, _count, _oStride, _add) = (w, x, first, count, oStride, add);
        _o = o;
        _bias = bias;
        Cut(w.Rows, w, count);
        return this;
    }

    protected override void Multiply(int first, int count, int thread)
    {
        Multiply(_w!, first, count, _x!.Rows(_first, _count), _o, _oStride, _add, thread);
        AddBias(_o, _oStride, _count, _bias, first, count);
    }
}

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

/// <summary>The heads' outputs = attention of the queries over the caches. A chunk has some key/value heads of one group of rows.</summary>
internal sealed unsafe class Attend(RunState state) : Region
{
    private const int MaxHeads = 8; // of keys and values in a chunk; fewer where there are more threads than groups

    private int _layer, _heads, _parts;

    public Attend Over(int layer)
    {
        int kvHeads = state.Config.KvHeadCount;
        long bytes = (state.Positions[state.Rows - 1] + 1L) * state.Config.KvDim * sizeof(float) * state.Rows;
        Threads = bytes < MatrixRegion.MinBytes ? 1 : state.Threads;
        (_layer, _heads) = (layer, (int)Math.Clamp((long)state.GroupCount * kvHeads / Threads, 1, Math.Min(kvHeads, MaxHeads)));
        _parts = 1 + (kvHeads - 1) / _heads;
        Chunks = state.GroupCount * _parts;
        return this;
    }

    public override void Chunk(int chunk, int thread)
    {
        (int group, int part) = Math.DivRem(chunk, _parts);
        int row = state.Groups[group], tokens = state.Groups[group + 1] - row, kvHead = part * _heads;
        Heads heads = new()
        {
            Stride = state.Q.Stride,
            Tokens = tokens,
            Position = state.Positions[row],
            KvDim = state.Config.KvDim,
            KvHeads = Math.Min(_heads, state.Config.KvHeadCount - kvHead),
            KvMul = state.Config.KvMul,
            HeadSize = state.Config.HeadSize,
        };
        int kvFirst = kvHead * heads.HeadSize, first = kvFirst * heads.KvMul;
        for (int i = row; i < row + tokens; i++)
            state.Rotate(state.Q, i, first, heads.KvHeads * heads.KvMul * heads.HeadSize);
        fixed (float* keys = state.Caches[row].Keys(_layer), values = state.Caches[row].Values(_layer))
        {
            heads.Q = state.Q[row] + first;
            heads.O = state.HeadOutputs[row] + first;
            heads.Keys = keys + kvFirst;
            heads.Values = values + kvFirst;
            state.Kernel.Attend(heads, state.Team.Scratch(thread));
        }
    }
}

/// <summary>hb = silu(w1 @ xb) * (w3 @ xb).</summary>
internal sealed unsafe class FfnUp(RunState state) : MatrixRegion(state)
{
    private Layer? _layer;

    public FfnUp Over(Layer w)
    {
        _layer = w;
        Cut(w.W1.Rows, w.W1, State.Rows);
        return this;
    }

    protected override void Multiply(int first, int count, int thread)
    {
        Inputs x = State.Xb.Rows(0, State.Rows);
        Multiply(_layer!.W1, first, count, x, State.Hb[0], State.Hb.Stride, add: false, thread);
        Multiply(_layer.W3, first, count, x, State.Hb2[0], State.Hb2.Stride, add: false, thread);
        AddBias(State.Hb[0], State.Hb.Stride, State.Rows, _layer.B1, first, count);
        AddBias(State.Hb2[0], State.Hb2.Stride, State.Rows, _layer.B3, first, count);
        for (int i = 0; i < State.Rows; i++)
            State.Kernel.SwiGlu(State.Hb[i] + first, State.Hb2[i] + first, count);
    }
}
