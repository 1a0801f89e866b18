namespace Llama2.Fast.Pass;

/// <summary>
/// Finds the token of the largest logit without reading most of a float32 classifier. A copy of it in int8, a quarter of the bytes,
/// estimates every logit within a proven bound; only rows whose upper bound reaches the best lower bound are recomputed exactly. The result
/// is the exact argmax, or none where there are too many of these candidates.
/// </summary>
/// <remarks>
/// Let ŵ and x̂ be the int8 versions of a row and of a state. By Cauchy and Schwarz
/// |w x - ŵ x̂| &lt;= ||w - ŵ|| ||x|| + ||ŵ|| ||x - x̂||. The computed sums are off by at most 2 n U sum|w x|, so the bound holds
/// for them with 4 n U (||x|| + ||x̂||) added to ||x - x̂||.
/// </remarks>
internal sealed unsafe class Shortlist : IDisposable
{
    public const int NoToken = -1;

    /// <summary>
    /// Elements of a classifier that is worth it: 4 MB. One of 8192 x 288 decodes 1.22 times as fast with a shortlist, of 4096 x 288 1.0 to
    /// 1.1 times.
    /// </summary>
    public const long MinElements = 1 << 20;

    private const long MaxElements = 1 << 26; // a larger one is a small part of its model, and the copy takes memory: 64 MB
    private const int MaxGroupSize = 256;
    private const int ChunkRows = 512;        // copied or estimated at once
    private const int BlockRows = 64;         // skipped at once where no upper bound reaches
    private const int CandidateShare = 16;    // with more candidates than rows / (16 * threads), all logits on all threads are faster
    private const int PausedTokens = 64;      // skipped after too long a list, since the next ones will probably be as long

    private const double U = 1.0 / (1 << 24); // rounding to nearest changes a float by at most this part of it
    private const double HalfStep = 0.501;    // of int8, and the rounding of the quotient
    private const double Slack = 1 + 1e-6;    // the rounding of the bound itself
    private const double MaxNorm = 1e15;      // sums of products of two such vectors do not overflow
    private const double VanishingSquare = 1e-37, VanishingWeight = 1e-25, VanishingState = 1e-20; // generously, what denormal numbers lose

    /// <summary>The copy is made for the second call, so that a single token does not pay for it.</summary>
    private enum CopyState { NotYet, Due, Made }

    /// <summary>What is known of a state x.</summary>
    private struct State
    {
        public float Norm;  // ||x||, or infinity where it is too large or NaN
        public float Error; // ||x - x̂||
        public float Lower; // lower bound of the largest logit; NaN without a list
        public int Listed;  // rows recomputed exactly; all without a list
        public int Token;   // the argmax, or NoToken
    }

    private readonly Matrix _classifier;
    private readonly Kernel _kernel;
    private readonly int _groupSize;
    private readonly Estimate _estimate;
    private readonly Choose _choose;
    private readonly NativeBuffer<sbyte> _values = new();
    private readonly NativeBuffer<float> _scales = new();
    private readonly NativeBuffer<float> _errors = new(); // ||w - ŵ|| of each row, or infinity where it is unknown
    private readonly NativeBuffer<float> _norms = new();  // max(||w||, ||ŵ||) of each row
    private readonly QuantizedActivations _int8;          // (states, dim)
    private readonly Activations _upper;                  // (states, rows): upper bound of each logit
    private readonly Activations _lower;                  // (states, chunks): lower bound of the largest logit of each chunk
    private readonly State[] _states = new State[RunState.MaxRows];
    private Matrix? _copy;
    private CopyState _copyState;
    private int _paused; // tokens that still go without a list

    /// <summary>For a classifier that <see cref="IsWorthIt"/>.</summary>
    public Shortlist(Matrix classifier, Kernel kernel, int threads)
    {
        (_classifier, _kernel, _groupSize) = (classifier, kernel, GroupSize(classifier.Columns));
        int chunks = 1 + (classifier.Rows - 1) / ChunkRows;
        _int8 = new(classifier.Columns, _groupSize);
        _upper = new(chunks * ChunkRows);
        _lower = new(chunks);
        (_estimate, _choose) = (new(this, threads, chunks), new(this, threads));
    }

    /// <summary>Whether a classifier is float32 and of a suitable size, from <see cref="MinElements"/> or, for a test, from less.</summary>
    public static bool IsWorthIt(Matrix classifier, long minElements) =>
        classifier.Type == MatrixType.Float32 && GroupSize(classifier.Columns) > 0
        && (long)classifier.Rows * classifier.Columns is var elements && elements >= minElements && elements <= MaxElements;

    // Elements that share a scale in the copy: the largest multiple of sixteen, up to 256, that divides a row; or 0.
    private static int GroupSize(int columns)
    {
        int size = MaxGroupSize;
        while (size > 0 && columns % size != 0)
            size -= Lanes.Count;
        return size;
    }

    /// <summary>Bytes that are read for a token, but for those of the rows listed.</summary>
    public long Bytes => _classifier.Rows * (_classifier.Columns + (_classifier.Columns / _groupSize + 2L) * sizeof(float));

    // Of a state of the last call, for tests.
    public ReadOnlySpan<float> UpperBounds(int state) => _upper.Row(state)[.._classifier.Rows];
    public float LowerBound(int state) => _states[state].Lower;
    public int Listed(int state) => _states[state].Listed;

    /// <summary>
    /// The argmax of all logits of some states, as <see cref="Sampler.ArgMax"/> finds it, or <see cref="NoToken"/> where computing all
    /// logits is expected to be faster. The copy is read once for all of them. The team has been entered.
    /// </summary>
    /// <param name="x">The states: (rows, dim).</param>
    /// <param name="rows">Which of them, at most <see cref="RunState.MaxRows"/>.</param>
    /// <param name="tokens">Receives the token of row i at i.</param>
    public void Find(Activations x, ReadOnlySpan<int> rows, Span<int> tokens)
    {
        foreach (int row in rows)
            tokens[row] = NoToken;
        _states.AsSpan(0, rows.Length).Fill(new State { Lower = float.NaN, Listed = _classifier.Rows, Token = NoToken });
        if (_copyState == CopyState.NotYet || _paused > 0)
        {
            _copyState = _copyState == CopyState.NotYet ? CopyState.Due : _copyState;
            _paused = Math.Max(0, _paused - rows.Length);
            return;
        }
        if (_copyState == CopyState.Due)
            Copy();

        _int8.EnsureRows(rows.Length);
        _upper.EnsureRows(rows.Length);
        _lower.EnsureRows(rows.Length);
        for (int i = 0; i < rows.Length; i++)
            Measure(x[rows[i]], i);
        Team.Shared.Run(_estimate.Over(rows.Length));
        Team.Shared.Run(_choose.Over(x, rows));
        int found = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            tokens[rows[i]] = _states[i].Token;
            found += _states[i].Token == NoToken ? 0 : 1;
        }
        _paused = 2 * found > rows.Length ? 0 : PausedTokens;
    }

    // Among the rows whose logit may be the largest; none if these are too many.
    private int Best(float* x, int state)
    {
        float lower = float.NegativeInfinity;
        foreach (float bound in _lower.Row(state))
            lower = MathF.Max(lower, bound);
        _states[state].Lower = lower;
        float* upper = _upper[state];
        int best = 0, listed = 1, maxListed = (int)(_classifier.Rows / ((long)CandidateShare * _estimate.Threads));
        float max = Logit(x, 0); // where that is NaN, the first token is the argmax
        for (int first = 0; first < _classifier.Rows; first += BlockRows)
        {
            if (_kernel.Max(upper + first, BlockRows) < lower)
                continue;
            int end = Math.Min(first + BlockRows, _classifier.Rows);
            for (int i = Math.Max(first, 1); i < end; i++)
            {
                if (upper[i] < lower)
                    continue;
                if (++listed > maxListed)
                    return NoToken;
                float logit = Logit(x, i);
                if (logit > max)
                    (best, max) = (i, logit);
            }
        }
        _states[state].Listed = listed;
        return best;
    }

    private float Logit(float* x, int row) => _kernel.Dot(_classifier.Floats + (nint)row * _classifier.Columns, x, _classifier.Columns);

    private void Copy()
    {
        (int rows, int columns) = (_classifier.Rows, _classifier.Columns);
        long count = (long)rows * columns;
        _copy = new(rows, columns, _groupSize, _values.EnsureCount(count), _scales.EnsureCount(count / _groupSize));
        _norms.EnsureCount(_upper.Length);
        new Span<float>(_errors.EnsureCount(_upper.Length), _upper.Length).Fill(float.PositiveInfinity); // also behind the last row
        Team.Shared.Run(new Items(rows, ChunkRows, _estimate.Threads, (first, count) =>
        {
            for (int i = first; i < first + count; i++)
                CopyRow(i);
        }));
        _copyState = CopyState.Made;
    }

    // Quantises a row, and bounds what that changes.
    private void CopyRow(int row)
    {
        int n = _classifier.Columns, groups = n / _groupSize;
        float* w = _classifier.Floats + (nint)row * n, scales = _copy!.Scales + (nint)row * groups;
        _kernel.Quantize(w, n, _groupSize, _copy.Values + (nint)row * n, scales, halvesToEven: true);
        double squares = 0;
        for (int g = 0; g < groups; g++)
            squares += (double)scales[g] * scales[g];
        double error = HalfStep * Math.Sqrt(squares * _groupSize) + VanishingWeight;
        double norm = Math.Sqrt((1 + 2.02 * n * U) * _kernel.Dot(w, w, n) + n * VanishingSquare) + error;
        if (norm < MaxNorm) // not NaN either
            (_errors.Pointer[row], _norms.Pointer[row]) = ((float)(error * Slack), (float)(norm * Slack));
    }

    // Quantises a state, and bounds what that changes.
    private void Measure(float* x, int state)
    {
        int n = _classifier.Columns;
        _kernel.Quantize(x, n, _int8, state);
        double squares = 0, squaresOfInt8 = 0, squaresOfErrors = 0;
        for (int j = 0; j < n; j++)
        {
            double int8 = (double)_int8.Scales(state)[j / _groupSize] * _int8.Values(state)[j];
            squares += (double)x[j] * x[j];
            squaresOfInt8 += int8 * int8;
            squaresOfErrors += (x[j] - int8) * (x[j] - int8);
        }
        double norm = Math.Sqrt(squares), error = Math.Sqrt(squaresOfErrors) + 4.04 * n * U * (norm + Math.Sqrt(squaresOfInt8));
        _states[state].Norm = norm < MaxNorm ? (float)(norm * Slack) : float.PositiveInfinity;
        _states[state].Error = (float)(error * Slack + VanishingState);
    }

    /// <summary>Bounds the logits of all states.</summary>
    private sealed class Estimate : Region
    {
        private readonly Shortlist _list;
        private int _count;

        public Estimate(Shortlist list, int threads, int chunks) => (_list, Threads, Chunks) = (list, threads, chunks);

        public Estimate Over(int states)
        {
            _count = states;
            return this;
        }

        public override void Chunk(int chunk, int thread)
        {
            int first = chunk * ChunkRows, rows = Math.Min(ChunkRows, _list._classifier.Rows - first);
            float* upper = _list._upper[0] + first, errors = _list._errors.Pointer + first, norms = _list._norms.Pointer + first;
            nint stride = _list._upper.Stride;
            Inputs x = new(null, 0, _list._int8, 0, _count);
            _list._kernel.Multiply(_list._copy!, first, rows, x, upper, stride, add: false, Team.Shared.Scratch(thread));
            for (int i = 0; i < _count; i++)
            {
                State state = _list._states[i];
                _list._lower[i][chunk] = _list._kernel.Bound(upper + i * stride, errors, norms, ChunkRows, state.Norm, state.Error);
            }
        }
    }

    /// <summary>Finds the tokens of all states; a chunk is a state.</summary>
    private sealed class Choose : Region
    {
        private readonly Shortlist _list;
        private readonly int[] _rows = new int[RunState.MaxRows];
        private Activations? _x;

        public Choose(Shortlist list, int threads) => (_list, Threads) = (list, threads);

        public Choose Over(Activations x, ReadOnlySpan<int> rows)
        {
            rows.CopyTo(_rows);
            (_x, Chunks) = (x, rows.Length);
            return this;
        }

        public override void Chunk(int chunk, int thread) => _list._states[chunk].Token = _list.Best(_x![_rows[chunk]], chunk);
    }

    public void Dispose()
    {
        foreach (IDisposable buffer in (ReadOnlySpan<IDisposable>)[_values, _scales, _errors, _norms, _int8, _upper, _lower])
            buffer.Dispose();
    }
}
