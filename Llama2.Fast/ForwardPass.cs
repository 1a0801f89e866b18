using System.Buffers;
using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Fast;

/// <summary>The forward pass, whatever the kernel.</summary>
internal abstract class ForwardPass(Config config) : IDisposable
{
    public Config Config { get; } = config;

    /// <summary><see cref="ITransformer.Forward"/>.</summary>
    public abstract void Forward(ReadOnlySpan<Row> rows, Span<float> output);

    /// <summary><see cref="ILanguageHead.Classify"/>.</summary>
    public abstract void Classify(ReadOnlySpan<float> embedding, Span<float> logits);

    /// <summary><see cref="ILanguageHead.ArgMax"/>.</summary>
    public abstract int ArgMax(ReadOnlySpan<float> embedding);

    /// <summary><see cref="ILanguageHead.Softmax"/>.</summary>
    public abstract void Softmax(Span<float> logits, float temperature);

    /// <summary>Bytes that <see cref="ArgMax"/> reads instead of the classifier, or 0 where it reads that.</summary>
    public abstract long ShortlistBytes { get; }

    public abstract void Dispose();
}

/// <summary>
/// The forward pass of a batch of rows, layer by layer, so that a layer's weights are read once for the batch. The steps
/// are Simple's in Simple's order; each is a region of the team.
/// </summary>
internal sealed unsafe partial class ForwardPass<TLanes, TInt8> : ForwardPass
    where TLanes : struct, ILanes<TLanes>
    where TInt8 : struct, IInt8<TInt8>
{
    private const int MaxBatch = 256;         // rows at once; their activations stay in the second cache
    private const int QueriesAtOnce = 12;     // rows of a cache that attend together
    private const int HeadsAtOnce = 8;        // of keys and values, where there are enough for all threads
    private const int RowsAtOnce = 8;         // rows that a chunk of row-wise work holds
    private const long RegionBytes = 1 << 15; // fewer bytes to read are not worth another thread
    private const int ChunksPerThread = 2;    // so that a thread which is held up leaves its share to the others
    private const int WholeLanes = 16;

    private readonly Weights _weights;
    private readonly List<MemoryHandle> _pins = [];
    private readonly Layer[] _layers;
    private readonly float* _rmsFinal;
    private readonly Rope _rope;
    private readonly Team _team = Team.Shared;
    private readonly int _threads;
    private readonly Action<int, int> _normalize, _qkv, _attend, _quantizeXb, _wo, _ffnUp, _quantizeHb, _ffnDown, _classify;

    // the rows of the batch
    private readonly KvCache[] _caches = new KvCache[MaxBatch];
    private readonly int[] _positions = new int[MaxBatch];
    private readonly Want[] _wants = new Want[MaxBatch];
    private int _rows;
    private readonly int[] _queries = new int[MaxBatch + 1]; // where rows that attend together begin, and where the last of them end
    private int _queryGroups;

    private readonly Activations _x, _xb, _q; // (rows, dim)
    private readonly Activations _k, _v;      // (rows, kv_dim)
    private readonly Activations _hb, _hb2;   // (rows, hidden_dim)
    private readonly Activations _cos, _sin;  // (rows, head_size / 2)
    private readonly QuantizedActivations? _int8;

    // what the chunks of the present region need to know
    private Layer _layer;
    private int _layerIndex;
    private float* _rms;
    private int _firstRow, _endRow, _chunkRows; // rows of the matrices
    private int _chunkHeads; // heads of keys and values
    private int _firstToken, _tokens;
    private bool _disposed;

    public ForwardPass(Config config, Weights weights, int threads, long leastShortlist) : base(config)
    {
        (_weights, _threads) = (weights, threads);
        _layers = [.. weights.Layers.Select(layer => new Layer(layer, _pins))];
        _layer = _layers[0];
        _classifier = new Matrix(weights.Classifier, _pins);
        if (Shortlist.Suits(_classifier, leastShortlist))
            _shortlist = new(_classifier, _team, threads);
        _rmsFinal = Matrix.Pin(weights.RmsFinal, _pins);
        _rope = new Rope(config.HeadSize);
        _x = new(config.Dim);
        _xb = new(config.Dim);
        _q = new(config.Dim);
        _k = new(config.KvDim);
        _v = new(config.KvDim);
        _hb = new(config.HiddenDim);
        _hb2 = new(config.HiddenDim);
        _cos = new(config.HeadSize / 2);
        _sin = new(config.HeadSize / 2);
        _allLogits = new(config.VocabSize);
        int groupSize = _classifier.GroupSize;
        if (Array.Exists(_layers, layer => Array.Exists(layer.Matrices, matrix => matrix.GroupSize != groupSize)))
            throw new ArgumentException("the matrices must all be float32, or all int8 of one group size", nameof(weights));
        if (groupSize > 0)
            _int8 = new(Math.Max(config.Dim, config.HiddenDim), groupSize);
        (_normalize, _qkv, _attend, _quantizeXb) = (Normalize, Qkv, Attend, QuantizeXb);
        (_wo, _ffnUp, _quantizeHb, _ffnDown, _classify) = (Wo, FfnUp, QuantizeHb, FfnDown, Classify);
    }

    public override void Forward(ReadOnlySpan<Row> rows, Span<float> output)
    {
        using Lock.Scope scope = Enter();
        Rows.Prepare(Config, rows, output);
        EnsureRows(Math.Min(rows.Length, MaxBatch));
        fixed (float* start = output)
        {
            float* o = start;
            for (int first = 0; first < rows.Length; first += MaxBatch)
            {
                ReadOnlySpan<Row> batch = rows.Slice(first, Math.Min(MaxBatch, rows.Length - first));
                Forward(batch, o);
                o += Rows.OutputLength(Config, batch);
            }
        }
        Array.Clear(_caches);
    }

    private Lock.Scope Enter()
    {
        ObjectDisposedException.ThrowIf(_disposed, typeof(FastTransformer));
        return _team.Enter();
    }

    private void Forward(ReadOnlySpan<Row> rows, float* output)
    {
        Embed(rows);
        for (int l = 0; l < _layers.Length; l++)
        {
            (_layer, _layerIndex) = (_layers[l], l);
            bool last = l == _layers.Length - 1;

            // attention; rows that want nothing leave their keys and values in the last layer and are done
            ForEachRow(_normalize, _layer.RmsAtt);
            int kv = 2 * Config.KvDim, qkv = kv + Config.Dim;
            MultiplyRows(_qkv, 0, last ? kv : qkv, _layer.Wq);
            if (last)
            {
                DropUnwanted();
                if (_rows == 0)
                    return;
                MultiplyRows(_qkv, kv, qkv, _layer.Wq);
            }
            long keyBytes = (_positions[_rows - 1] + 1) * (long)Config.KvDim * sizeof(float);
            int threads = Threads(keyBytes * _rows);
            _chunkHeads = Math.Clamp(_queryGroups * Config.KvHeadCount / threads, 1, Math.Min(Config.KvHeadCount, HeadsAtOnce));
            _team.Run(threads, _queryGroups * ChunksOfHeads, _attend);
            QuantizeRows(_quantizeXb);
            MultiplyRows(_wo, 0, Config.Dim, _layer.Wo);

            // ffn
            ForEachRow(_normalize, _layer.RmsFfn);
            MultiplyRows(_ffnUp, 0, Config.HiddenDim, _layer.W1);
            QuantizeRows(_quantizeHb);
            MultiplyRows(_ffnDown, 0, Config.Dim, _layer.W2);
        }
        ForEachRow(_normalize, _rmsFinal);
        Output(output);
    }

    private void EnsureRows(int rows)
    {
        foreach (Activations activations in (ReadOnlySpan<Activations>)[_x, _xb, _q, _k, _v, _hb, _hb2, _cos, _sin])
            activations.EnsureRows(rows);
        _int8?.EnsureRows(rows);
    }

    // Takes the rows' places in their caches. Nothing can fail after Prepare, so they may be taken before they are filled.
    private void Embed(ReadOnlySpan<Row> rows)
    {
        _rows = _tokens = rows.Length;
        _firstToken = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            (_caches[i], _wants[i], _positions[i]) = (rows[i].Cache, rows[i].Want, rows[i].Cache.Length);
            rows[i].Cache.Advance();
            _weights.TokenEmbedding.CopyRow(rows[i].Token, new Span<float>(_x[i], Config.Dim));
            _rope.Angles(_positions[i], _cos[i], _sin[i]);
        }
        GroupQueries();
    }

    private void DropUnwanted()
    {
        int kept = 0;
        for (int i = 0; i < _rows; i++)
        {
            if (_wants[i] == Want.Nothing)
                continue;
            if (kept < i)
            {
                (_caches[kept], _wants[kept], _positions[kept]) = (_caches[i], _wants[i], _positions[i]);
                _x.Move(i, kept);
                _xb.Move(i, kept);
                _cos.Move(i, kept);
                _sin.Move(i, kept);
                _int8?.Move(i, kept);
            }
            kept++;
        }
        _rows = _tokens = kept;
        GroupQueries();
    }

    // Rows attend together that follow one another in one cache.
    private void GroupQueries()
    {
        _queryGroups = 0;
        for (int i = 0; i < _rows; i++)
        {
            if (i == 0 || i - _queries[_queryGroups - 1] == QueriesAtOnce || _caches[i] != _caches[i - 1] || _positions[i] != _positions[i - 1] + 1)
                _queries[_queryGroups++] = i;
        }
        _queries[_queryGroups] = _rows;
    }

    private int Threads(long bytes) => bytes < RegionBytes ? 1 : _threads;

    private void ForEachRow(Action<int, int> work, float* rms)
    {
        _rms = rms;
        ForEachRow(work);
    }

    private void ForEachRow(Action<int, int> work) => _team.Run(_threads, (_rows + RowsAtOnce - 1) / RowsAtOnce, work);

    private void QuantizeRows(Action<int, int> work)
    {
        if (_int8 is not null)
            ForEachRow(work);
    }

    // Rows first to end of the matrices that the work multiplies, in chunks.
    private void MultiplyRows(Action<int, int> work, int first, int end, in Matrix like)
    {
        int threads = Threads((end - first) * like.RowBytes * _tokens);
        int chunks = threads == 1 ? 1 : threads * ChunksPerThread;
        (_firstRow, _endRow) = (first, end);
        _chunkRows = ((end - first + chunks - 1) / chunks + WholeLanes - 1) / WholeLanes * WholeLanes;
        _team.Run(threads, (end - first + _chunkRows - 1) / _chunkRows, work);
    }

    // The chunks.

    private (int First, int End) RowsOf(int chunk) => (chunk * RowsAtOnce, Math.Min(_rows, (chunk + 1) * RowsAtOnce));

    private int ChunksOfHeads => (Config.KvHeadCount + _chunkHeads - 1) / _chunkHeads;

    private (int First, int Count) MatrixRowsOf(int chunk)
    {
        int first = _firstRow + chunk * _chunkRows;
        return (first, Math.Min(_chunkRows, _endRow - first));
    }

    private void Normalize(int chunk, int thread)
    {
        (int i, int end) = RowsOf(chunk);
        for (; i < end; i++)
        {
            Nn<TLanes>.RmsNorm(_xb[i], _x[i], _rms, Config.Dim);
            Quantize(_xb, i, Config.Dim);
        }
    }

    private void QuantizeXb(int chunk, int thread)
    {
        (int i, int end) = RowsOf(chunk);
        for (; i < end; i++)
            Quantize(_xb, i, Config.Dim);
    }

    private void QuantizeHb(int chunk, int thread)
    {
        (int i, int end) = RowsOf(chunk);
        for (; i < end; i++)
            Quantize(_hb, i, Config.HiddenDim);
    }

    private void Quantize(Activations x, int row, int n) => _int8?.Quantize<TLanes, TInt8>(row, x[row], n);

    private void Attend(int chunk, int thread)
    {
        (int group, int part) = Math.DivRem(chunk, ChunksOfHeads);
        int row = _queries[group], queries = _queries[group + 1] - row;
        int kvHead = part * _chunkHeads, kvHeads = Math.Min(_chunkHeads, Config.KvHeadCount - kvHead);
        int offset = kvHead * Config.KvMul * Config.HeadSize, kvOffset = kvHead * Config.HeadSize;
        for (int i = row; i < row + queries; i++)
            _rope.Rotate(_q[i], offset, kvHeads * Config.KvMul * Config.HeadSize, _cos[i], _sin[i]);
        fixed (float* keys = _caches[row].Keys(_layerIndex), values = _caches[row].Values(_layerIndex))
        {
            Heads heads = new()
            {
                Q = _q[row] + offset,
                O = _xb[row] + offset,
                Stride = _q.Stride,
                Queries = queries,
                Position = _positions[row],
                Keys = keys + kvOffset,
                Values = values + kvOffset,
                KvDim = Config.KvDim,
                KvHeads = kvHeads,
                KvMul = Config.KvMul,
                HeadSize = Config.HeadSize,
            };
            Attention<TLanes>.Attend(heads, _team.Scratch(thread, Attention<TLanes>.ScratchCount(heads)));
        }
    }

    // The outputs of the three matrices are one list: keys and values, which go into the caches, and queries. A list's chunk
    // begins and ends between pairs of RoPE.
    private void Qkv(int chunk, int thread)
    {
        (int start, int rows) = MatrixRowsOf(chunk);
        int end = start + rows, kv = Config.KvDim;
        (int first, int count) = MultiplyPart(thread, _layer.Wk, start, end, _k);
        for (int i = 0; i < _tokens && count > 0; i++)
        {
            _rope.Rotate(_k[i], first, count, _cos[i], _sin[i]);
            new ReadOnlySpan<float>(_k[i] + first, count).CopyTo(_caches[i].Key(_layerIndex, _positions[i])[first..]);
        }
        (first, count) = MultiplyPart(thread, _layer.Wv, start - kv, end - kv, _v);
        for (int i = 0; i < _tokens && count > 0; i++)
            new ReadOnlySpan<float>(_v[i] + first, count).CopyTo(_caches[i].Value(_layerIndex, _positions[i])[first..]);
        MultiplyPart(thread, _layer.Wq, start - 2 * kv, end - 2 * kv, _q);
    }

    private (int First, int Count) MultiplyPart(int thread, in Matrix w, int first, int end, Activations o)
    {
        (first, end) = (Math.Max(first, 0), Math.Min(end, w.Rows));
        if (first < end)
            Multiply(thread, w, first, end - first, _xb, o[0] + first, o.Stride, add: false);
        return (first, end - first);
    }

    private void Wo(int chunk, int thread)
    {
        (int first, int count) = MatrixRowsOf(chunk);
        Multiply(thread, _layer.Wo, first, count, _xb, _x[0] + first, _x.Stride, add: true);
    }

    private void FfnUp(int chunk, int thread)
    {
        (int first, int count) = MatrixRowsOf(chunk);
        Multiply(thread, _layer.W1, first, count, _xb, _hb[0] + first, _hb.Stride, add: false);
        Multiply(thread, _layer.W3, first, count, _xb, _hb2[0] + first, _hb2.Stride, add: false);
        for (int i = 0; i < _tokens; i++)
            Nn<TLanes>.SwiGlu(_hb[i] + first, _hb2[i] + first, count);
    }

    private void FfnDown(int chunk, int thread)
    {
        (int first, int count) = MatrixRowsOf(chunk);
        Multiply(thread, _layer.W2, first, count, _hb, _x[0] + first, _x.Stride, add: true);
    }

    private void Multiply(int thread, in Matrix w, int first, int rows, Activations x, float* o, nint oStride, bool add)
    {
        if (w.GroupSize > 0)
            MatMulInt8<TInt8>.Multiply(w, first, rows, _int8!, _firstToken, _tokens, o, oStride, add, _team.Scratch(thread, MatMulInt8<TInt8>.ScratchCount(w)));
        else
            MatMul<TLanes>.Multiply(w.Floats + (nint)first * w.Columns, w.Columns, rows, x[_firstToken], x.Stride, _tokens, w.Columns, o, oStride, add);
    }

    public override void Dispose()
    {
        _disposed = true;
        foreach (Activations activations in (ReadOnlySpan<Activations>)[_x, _xb, _q, _k, _v, _hb, _hb2, _cos, _sin, _allLogits])
            activations.Dispose();
        _shortlist?.Dispose();
        _int8?.Dispose();
        _pins.ForEach(pin => pin.Dispose());
        _pins.Clear();
    }
}
