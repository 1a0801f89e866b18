using System.Runtime.CompilerServices;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>
/// Finds the token of the greatest logit without reading most of a float32 classifier. A copy of it in int8, a quarter of
/// the bytes, tells every logit within a bound; the rows whose logit may be the greatest are few, and they are multiplied
/// as they are. So the answer is that of all logits, always, or none.
/// </summary>
internal abstract unsafe class Shortlist : IDisposable
{
    /// <summary>A smaller classifier is soon read as it is: 4 MB.</summary>
    public const long LeastElements = 1 << 20;

    // A greater one belongs to a model of which it is a small part, and a copy is memory: 64 MB.
    private const long MostElements = 1 << 26;

    /// <summary>Whether one is worth its while; <paramref name="leastElements"/> is <see cref="LeastElements"/>, or less where a test wants it.</summary>
    public static bool Suits(in Matrix classifier, long leastElements) =>
        classifier.GroupSize == 0 && GroupSize(classifier.Columns) > 0 && (long)classifier.Rows * classifier.Columns is var elements
        && elements >= leastElements && elements <= MostElements;

    /// <summary>Elements that share a scale in the copy: the most whole registers that divide a row, up to 64; or 0.</summary>
    public static int GroupSize(int columns)
    {
        int size = 64;
        while (size > 0 && columns % size != 0)
            size -= Int8.Step;
        return size;
    }

    /// <summary>Bytes that are read for a token, but for those of the rows listed.</summary>
    public abstract long Bytes { get; }

    /// <summary>
    /// The token that <see cref="Simple.Sampler.ArgMax"/> finds in all logits of the state x (dim,), or -1 where it is sooner found there.
    /// The team has been entered.
    /// </summary>
    public abstract int ArgMax(float* x);

    /// <summary>Rows that the last <see cref="ArgMax"/> listed and multiplied as they are; all, where it was -1.</summary>
    public int Listed { get; protected set; }

    /// <summary>The most that each of the logits may be: (rows,).</summary>
    public abstract ReadOnlySpan<float> Most { get; }

    /// <summary>The least that the greatest of the logits may be; NaN where it did not come to that.</summary>
    public float Least { get; protected set; }

    public abstract void Dispose();
}

/// <summary>The shortlist of a kernel.</summary>
/// <remarks>
/// Let ŵ and x̂ be what int8 makes of a row and of the state. By Cauchy and Schwarz |w x - ŵ x̂| &lt;= ||w - ŵ|| ||x|| + ||ŵ|| ||x - x̂||.
/// The sums as they are computed are off by n 2^-23 sum|w x| at most, so the bound holds of them with n 2^-22 (||x|| + ||x̂||)
/// added to ||x - x̂||. Constants of 1e-20 and less are there for denormals, those beside 1 for the rounding of the bound itself.
/// </remarks>
internal sealed unsafe class Shortlist<TLanes, TInt8> : Shortlist
    where TLanes : struct, ILanes<TLanes>
    where TInt8 : struct, IInt8<TInt8>
{
    private const int Lanes = ILanes<TLanes>.Count;
    private const int BlockRows = 64;     // copied at once, while they are in the cache, and looked through at once
    private const int ChunkRows = 512;    // estimated at once
    private const int ListedShare = 16;   // with more than a sixteenth of a thread's rows, which one thread multiplies, all logits are sooner had
    private const int Pause = 64;         // tokens without a list after one that was too long
    private const float Immense = 1e15f;  // products of two such lengths do not overflow

    private readonly Matrix _classifier;
    private readonly Team _team;
    private readonly int _threads, _groupSize, _blocks, _chunks;
    private readonly Action<int, int> _copyBlock, _estimateChunk;

    private readonly NativeBuffer<sbyte> _values = new();
    private readonly NativeBuffer<float> _scales = new();
    private readonly NativeBuffer<float> _errors = new(); // ||w - ŵ|| of each row, or infinity where nothing is known
    private readonly NativeBuffer<float> _norms = new();  // ||w|| or ||ŵ||, whichever is greater
    private readonly NativeBuffer<float> _most = new();   // the most that each logit may be
    private readonly NativeBuffer<float> _least = new();  // the least that the greatest logit of each chunk may be
    private readonly QuantizedActivations _x;
    private Matrix _copy;
    private float _xNorm, _xError;
    private bool _used;
    private int _pause;

    public override long Bytes => (long)_classifier.Rows * (_classifier.Columns + (_classifier.Columns / _groupSize * sizeof(float)) + (2 * sizeof(float)));

    public override ReadOnlySpan<float> Most => new(_most.Pointer, _copy.Rows);

    /// <summary>One for a classifier that <see cref="Shortlist.Suits"/>.</summary>
    public Shortlist(in Matrix classifier, Team team, int threads)
    {
        (_classifier, _team, _threads, _groupSize) = (classifier, team, threads, GroupSize(classifier.Columns));
        _blocks = (classifier.Rows + BlockRows - 1) / BlockRows;
        _chunks = (classifier.Rows + ChunkRows - 1) / ChunkRows;
        _x = new(classifier.Columns, _groupSize);
        (_copyBlock, _estimateChunk) = (CopyBlock, EstimateChunk);
    }

    public override int ArgMax(float* x)
    {
        (Listed, Least) = (_classifier.Rows, float.NaN);
        if (!_used || _pause > 0)
        {
            (_used, _pause) = (true, Math.Max(0, _pause - 1)); // who wants but one token need not wait for the copy
            return -1;
        }
        if (_copy.Rows == 0)
            Copy();
        if (!Measure(x))
            return -1;
        _team.Run(_threads, _chunks, _estimateChunk);
        int token = Best(x);
        if (token < 0)
            _pause = Pause;
        return token;
    }

    // Among the rows whose logit may be the greatest; -1 if these are too many.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int Best(float* x)
    {
        float least = float.NegativeInfinity;
        for (int chunk = 0; chunk < _chunks; chunk++)
            least = MathF.Max(least, _least.Pointer[chunk]);
        Least = least;
        int best = 0, listed = 1, most = _classifier.Rows / (ListedShare * _threads);
        float max = Logit(x, 0); // where that is NaN, the first token is the answer
        for (int first = 0; first < _classifier.Rows; first += BlockRows)
        {
            if (MostOf(first) < least)
                continue;
            int end = Math.Min(first + BlockRows, _classifier.Rows);
            for (int i = Math.Max(first, 1); i < end; i++)
            {
                if (_most.Pointer[i] < least)
                    continue;
                if (++listed > most)
                    return -1;
                float logit = Logit(x, i);
                if (logit > max)
                    (best, max) = (i, logit);
            }
        }
        Listed = listed;
        return best;
    }

    private float Logit(float* x, int row) => MatMul<TLanes>.Dot(_classifier.Floats + (nint)row * _classifier.Columns, x, _classifier.Columns);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private float MostOf(int first)
    {
        float* p = _most.Pointer + first;
        TLanes most = TLanes.Load(p);
        for (int i = Lanes; i < BlockRows; i += Lanes)
            most = TLanes.Max(TLanes.Load(p + i), most);
        return TLanes.Greatest(most);
    }

    private void Copy()
    {
        int rows = _classifier.Rows, columns = _classifier.Columns, room = _chunks * ChunkRows;
        _values.EnsureCount((long)rows * columns);
        _scales.EnsureCount((long)rows * columns / _groupSize);
        _norms.EnsureCount(room);
        _most.EnsureCount(room);
        _least.EnsureCount(_chunks);
        new Span<float>(_errors.EnsureCount(room), room).Fill(float.PositiveInfinity); // beyond the last row nothing is known
        _x.EnsureRows(1);
        _copy = new Matrix(rows, columns, _groupSize, _values.Pointer, _scales.Pointer);
        _team.Run(_threads, _blocks, _copyBlock);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CopyBlock(int block, int thread)
    {
        int n = _classifier.Columns, groups = n / _groupSize, end = Math.Min((block + 1) * BlockRows, _classifier.Rows);
        for (int i = block * BlockRows; i < end; i++)
        {
            float* w = _classifier.Floats + (nint)i * n;
            float* scales = _scales.Pointer + (nint)i * groups;
            Nn<TLanes>.Quantize(w, n, _groupSize, _values.Pointer + (nint)i * n, scales, halvesToEven: true);
            double squares = 0;
            for (int g = 0; g < groups; g++)
                squares += (double)scales[g] * scales[g];
            double error = 0.501 * Math.Sqrt(squares * _groupSize) + 1e-25; // half a step, and what rounding the quotient adds
            double norm = Math.Sqrt(((1 + (n * 1.2e-7)) * MatMul<TLanes>.Dot(w, w, n)) + (n * 1e-37)) + error;
            if (norm < Immense) // and a number
                (_errors.Pointer[i], _norms.Pointer[i]) = ((float)(error * (1 + 1e-6)), (float)(norm * (1 + 1e-6)));
        }
    }

    // The state in int8, and how far that is from it; false if it is too great or no number.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool Measure(float* x)
    {
        int n = _classifier.Columns;
        _x.Quantize<TLanes, TInt8>(0, x, n);
        sbyte* values = _x.Values(0);
        float* scales = _x.Scales(0);
        double squares = 0, squaresOfInt8 = 0, squaresOfErrors = 0;
        for (int j = 0; j < n; j++)
        {
            double int8 = (double)scales[j / _groupSize] * values[j];
            squares += (double)x[j] * x[j];
            squaresOfInt8 += int8 * int8;
            squaresOfErrors += (x[j] - int8) * (x[j] - int8);
        }
        double norm = Math.Sqrt(squares);
        _xNorm = (float)(norm * (1 + 1e-6));
        _xError = (float)((Math.Sqrt(squaresOfErrors) + n * 2.4e-7 * (norm + Math.Sqrt(squaresOfInt8))) * (1 + 1e-6) + 1e-20);
        return _xNorm < Immense;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void EstimateChunk(int chunk, int thread)
    {
        int first = chunk * ChunkRows;
        float* most = _most.Pointer + first;
        float* scratch = _team.Scratch(thread, MatMulInt8<TInt8>.ScratchCount(_copy));
        MatMulInt8<TInt8>.Multiply(_copy, first, Math.Min(ChunkRows, _copy.Rows - first), _x, token: 0, tokens: 1, most, oStride: 0, add: false, scratch);
        TLanes xNorm = TLanes.Create(_xNorm), xError = TLanes.Create(_xError), infinity = TLanes.Create(float.PositiveInfinity);
        TLanes least = TLanes.Create(float.NegativeInfinity);
        for (int j = 0; j < ChunkRows; j += Lanes)
        {
            TLanes estimate = TLanes.Load(most + j);
            TLanes bound = (TLanes.Load(_errors.Pointer + first + j) * xNorm) + (TLanes.Load(_norms.Pointer + first + j) * xError);
            least = TLanes.Max(estimate - bound, least); // NaN never is
            TLanes.Store(most + j, TLanes.Min(estimate + bound, infinity)); // NaN becomes infinity
        }
        _least.Pointer[chunk] = TLanes.Greatest(least);
    }

    public override void Dispose()
    {
        _copy = default;
        _values.Dispose();
        foreach (NativeBuffer<float> buffer in (ReadOnlySpan<NativeBuffer<float>>)[_scales, _errors, _norms, _most, _least])
            buffer.Dispose();
        _x.Dispose();
    }
}
