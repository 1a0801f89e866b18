namespace Llama2.Fast.Pass;

/// <summary>
/// The forward pass of a batch of rows, layer by layer, so that a layer's weights are read once for the batch. The steps are Simple's in
/// Simple's order; each is a region of the team.
/// </summary>
internal sealed unsafe class ForwardPass : IDisposable
{
    private readonly Weights _weights;
    private readonly List<MemoryHandle> _pins = [];
    private readonly Layer[] _layers;
    private readonly float* _rmsFinal;
    private readonly Matrix _classifier;
    private readonly Shortlist? _shortlist;
    private readonly Team _team = Team.Shared;
    private readonly RunState _state;
    private readonly Activations _logits; // (rows, vocab_size), of rows that want a token
    private readonly int[] _tokenRows = new int[RunState.MaxRows]; // the rows that want a token
    private readonly int[] _tokens = new int[RunState.MaxRows];    // of each row, the shortlist's token, or NoToken
    private readonly PrepareInput _prepare;
    private readonly Qkv _qkv;
    private readonly Attend _attend;
    private readonly Product _product;
    private readonly FfnUp _ffnUp;
    private bool _disposed;

    public ForwardPass(Config config, Weights weights, Kernel kernel, int threads, long minShortlist)
    {
        (Config, _weights) = (config, weights);
        _layers = [.. weights.Layers.Select(layer => new Layer(layer, _pins))];
        _rmsFinal = Matrix.Pin(weights.RmsFinal, _pins);
        _classifier = new Matrix(weights.Classifier, _pins);
        Matrix[] matrices = [_classifier, .. _layers.SelectMany(layer => layer.Matrices)];
        Matrix? int8 = Array.Find(matrices, w => w.Type == MatrixType.Int8);
        if (Array.Exists(matrices, w => w.Type == MatrixType.Int8 && w.GroupSize != int8!.GroupSize))
            throw new ArgumentException("the int8 matrices must all be of one group size", nameof(weights));
        RunState state = _state = new(config, weights.RopeFactors, int8?.GroupSize,
            matrices.Any(w => w.Type == MatrixType.Blocks), kernel, threads);
        (_prepare, _qkv, _attend, _product, _ffnUp) = (new(state), new(state), new(state), new(state), new(state));
        _logits = new(config.VocabSize);
        if (Shortlist.IsWorthIt(_classifier, minShortlist))
            _shortlist = new(_classifier, kernel, threads);
    }

    public Config Config { get; }

    /// <summary><see cref="FastTransformer.ShortlistBytes"/>.</summary>
    public long ShortlistBytes => _shortlist?.Bytes ?? 0;

    /// <summary><see cref="ITransformer.Forward"/>.</summary>
    public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
    {
        ObjectDisposedException.ThrowIf(_disposed, typeof(FastTransformer));
        using Lock.Scope scope = _team.Enter();
        RowChecks.Prepare(Config, rows, output);
        _state.EnsureRows(Math.Min(rows.Length, RunState.MaxRows));
        int fed = 0;
        try
        {
            while (fed < rows.Length)
            {
                ReadOnlySpan<Row> batch = rows.Slice(fed, Math.Min(RunState.MaxRows, rows.Length - fed));
                fed += batch.Length;
                fixed (float* o = output)
                    Forward(batch, o);
                output = output[RowChecks.OutputLength(Config, batch)..];
            }
        }
        catch // there is no memory, say: no row has been fed
        {
            foreach (Row row in rows[..fed])
                row.Cache.Truncate(row.Cache.Length - 1);
            throw;
        }
        finally
        {
            Array.Clear(_state.Caches);
        }
    }

    private void Forward(ReadOnlySpan<Row> rows, float* output)
    {
        _state.Embed(rows, _weights.TokenEmbedding);
        for (int l = 0; l < _layers.Length; l++)
        {
            Layer w = _layers[l];
            bool last = l == _layers.Length - 1;

            // attention; rows that want nothing leave their keys and values in the last layer and are done
            _team.Run(_prepare.Over(_state.Xb, w.RmsAtt));
            _team.Run(_qkv.Over(w, l, last ? Qkv.KeysAndValues : Qkv.All));
            if (last)
            {
                _state.KeepWanted();
                if (_state.Rows == 0)
                    return;
                _team.Run(_qkv.Over(w, l, Qkv.Queries));
            }
            _team.Run(_attend.Over(l));
            _team.Run(_prepare.Over(_state.HeadOutputs));
            AddProduct(w.Wo, _state.HeadOutputs, w.Bo);

            // ffn
            _team.Run(_prepare.Over(_state.Xb, w.RmsFfn));
            _team.Run(_ffnUp.Over(w));
            _team.Run(_prepare.Over(_state.Hb));
            AddProduct(w.W2, _state.Hb, w.B2);
        }
        _team.Run(_prepare.Over(_state.Xb, _rmsFinal));
        FindTokens();
        Output(output);
    }

    // The residual connection: x += w @ activations, and a bias where there is one.
    private void AddProduct(Matrix w, Activations activations, float* bias) =>
        _team.Run(_product.Over(w, activations, 0, _state.Rows, _state.X[0], _state.X.Stride, add: true, bias));

    private void Classify(int first, int count, float* logits, nint stride) =>
        _team.Run(_product.Over(_classifier, _state.Xb, first, count, logits, stride, add: false));

    // Fills _tokens of rows that want a token, unless their logits are needed.
    private void FindTokens()
    {
        int count = 0;
        for (int i = 0; i < _state.Rows; i++)
        {
            _tokens[i] = Shortlist.NoToken;
            if (_state.Wants[i] == Want.Token)
                _tokenRows[count++] = i;
        }
        if (count > 0)
            _shortlist?.Find(_state.Xb, _tokenRows.AsSpan(0, count), _tokens);
    }

    // Appends what each row wants. Neighbouring rows that want the same are classified together.
    private void Output(float* o)
    {
        for (int i = 0, count; i < _state.Rows; i += count)
        {
            Want want = _state.Wants[i];
            for (count = 1; i + count < _state.Rows && _state.Wants[i + count] == want && _tokens[i + count] == _tokens[i];)
                count++;
            if (want == Want.Logits)
                Classify(i, count, o, Config.VocabSize);
            else if (want == Want.Token && _tokens[i] == Shortlist.NoToken)
            {
                _logits.EnsureRows(count);
                Classify(i, count, _logits[0], _logits.Stride);
            }
            for (int row = i; row < i + count; row++, o += RowChecks.OutputLength(Config, want))
            {
                if (want == Want.Embedding)
                    _state.Xb.Row(row).CopyTo(new Span<float>(o, Config.Dim));
                else if (want == Want.Token)
                    *o = _tokens[row] == Shortlist.NoToken ? Sampler.ArgMax(_logits.Row(row - i)) : _tokens[row];
            }
        }
    }

    public void Dispose()
    {
        _disposed = true;
        _state.Dispose();
        _logits.Dispose();
        _shortlist?.Dispose();
        _pins.ForEach(pin => pin.Dispose());
        _pins.Clear();
    }
}
