using System.Numerics;

namespace Llama2.Fast;

/// <summary>
/// Quantises weights at load: float32 ones with <see cref="Quantization.QuantizeWeights"/>'s and so export.py's bytes, those of any type
/// with <see cref="BlockQuantizer"/>'s and so ggml's.
/// </summary>
public static class WeightQuantizer
{
    public const int MaxGroupSize = 64; // export.py's

    private const int ChunkElements = 1 << 16;

    /// <summary>The largest group size, up to export.py's, that divides the rows of every matrix.</summary>
    public static int GroupSizeFor(Config config) =>
        Enumerable.Range(1, MaxGroupSize).Last(size => config.Dim % size == 0 && config.QDim % size == 0 && config.HiddenDim % size == 0);

    /// <summary>The weights with every float32 matrix as int8; the norms are shared with the old weights.</summary>
    /// <param name="weights">The weights of a checkpoint.</param>
    /// <param name="groupSize">Elements that share a scale; a divisor of the elements of every matrix.</param>
    /// <param name="threads">Threads to work with, or 0 for one on each physical core.</param>
    /// <exception cref="ArgumentException">The group size does not divide a matrix, or a matrix is not float32.</exception>
    /// <exception cref="NotFiniteNumberException">A matrix holds a NaN or an infinity, which would be lost, or lose others.</exception>
    public static Weights Quantize(Weights weights, int groupSize, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(groupSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        return weights.Map(tensor => Quantize(tensor, groupSize, threads));
    }

    /// <summary>
    /// An int8 copy to draft with, as <see cref="Quantize(Weights, int, int)"/> makes it, that shares the embedding table: a token reads
    /// one row of it. It also shares matrices that hold a NaN or an infinity, which int8 cannot.
    /// </summary>
    /// <exception cref="ArgumentException">The group size does not divide a matrix, or a matrix is not float32.</exception>
    public static Weights CopyForDrafts(Weights weights, int groupSize, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        return WithEmbedding(weights,
            WithoutEmbedding(weights).Map(matrix => IfFinite(matrix, () => Quantize(matrix, groupSize, threads))));
    }

    private static Tensor IfFinite(Tensor matrix, Func<Tensor> copy)
    {
        try
        {
            return copy();
        }
        catch (NotFiniteNumberException)
        {
            return matrix;
        }
    }

    // The classifier in place of the embedding table, which is copied only once.
    private static Weights WithoutEmbedding(Weights weights) => WithEmbedding(weights, weights, weights.Classifier);

    private static Weights WithEmbedding(Weights weights, Weights others, Tensor? embedding = null) => new()
    {
        TokenEmbedding = embedding ?? weights.TokenEmbedding,
        Layers = others.Layers,
        RmsFinal = others.RmsFinal,
        Classifier = others.Classifier,
        RopeFactors = others.RopeFactors,
    };

    /// <summary>Bytes of <see cref="CopyForDrafts(Weights, int, int)"/> beyond what it shares.</summary>
    public static long CopyBytes(Config config, int groupSize)
    {
        long attention = 2L * config.Dim * (config.Dim + config.KvDim), ffn = 3L * config.Dim * config.HiddenDim;
        long elements = config.LayerCount * (attention + ffn) + (long)config.VocabSize * config.Dim;
        return elements + elements / groupSize * sizeof(float);
    }

    /// <summary>
    /// The weights with every matrix in ggml's blocks, but for those of more than 2 GB in them; these and the vectors are shared with the
    /// old weights.
    /// </summary>
    /// <param name="weights">The weights of a model, of any types.</param>
    /// <param name="mix">The types to make of them.</param>
    /// <param name="threads">Threads to work with, or 0 for one on each physical core.</param>
    /// <exception cref="NotFiniteNumberException">
    /// A matrix holds a NaN or an infinity, or a number that its type does not hold: a scale passes float16's range.
    /// </exception>
    public static Weights Quantize(Weights weights, TypeMix mix, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        return weights.Map((name, layer) => Quantize(weights[name, layer], mix.TypeOf(weights, name, layer), threads));
    }

    /// <summary>
    /// A copy to draft with whose matrices are all of one type. The embedding table is shared, as a token reads one row of it, and so are
    /// matrices whose rows are not of whole blocks, that have more than 2 GB, or hold a NaN or an infinity.
    /// </summary>
    /// <param name="weights">The weights of a model, of any types.</param>
    /// <param name="type">One of <see cref="BlockQuantizer.Types"/>.</param>
    /// <param name="threads">Threads to work with, or 0 for one on each physical core.</param>
    public static Weights CopyForDrafts(Weights weights, GgmlType type, int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Weights copy = WithoutEmbedding(weights).Map(matrix =>
            Fits(matrix, type) ? IfFinite(matrix, () => Quantize(matrix, type, threads)) : matrix);
        return WithEmbedding(weights, copy);
    }

    /// <summary>Bytes of <see cref="CopyForDrafts(Weights, GgmlType, int)"/> beyond what it shares.</summary>
    public static long CopyBytes(Weights weights, GgmlType type) =>
        WithoutEmbedding(weights).Named().Where(named => !Weights.IsVector(named.Name) && Fits(named.Tensor, type))
            .Sum(named => named.Tensor.Rows * type.RowBytes(named.Tensor.Columns));

    private static bool Fits(Tensor matrix, GgmlType type) => matrix.Columns % type.BlockElements == 0;

    private static Tensor Quantize(Tensor tensor, GgmlType type, int threads)
    {
        long bytes = tensor.Rows * type.RowBytes(tensor.Columns);
        if (bytes > Array.MaxLength || (tensor is GgmlTensor { Type: var own } && own == type))
            return tensor;
        byte[] blocks = GC.AllocateUninitializedArray<byte>((int)bytes);
        using Lock.Scope scope = Team.Shared.Enter();
        Team.Shared.Run(new Items(tensor.Rows, Math.Max(1, ChunkElements / Math.Max(1, tensor.Columns)), threads, QuantizeRows));
        return GgmlTensor.Create(type, tensor.Rows, tensor.Columns, blocks);

        void QuantizeRows(int first, int count)
        {
            float[] row = ArrayPool<float>.Shared.Rent(tensor.Columns);
            Span<float> floats = row.AsSpan(0, tensor.Columns);
            int rowBytes = (int)type.RowBytes(tensor.Columns);
            for (int i = first; i < first + count; i++)
            {
                tensor.CopyRow(i, floats);
                if (!BlockQuantizer.Holds(type, floats))
                    throw new NotFiniteNumberException($"a weight is no number that {type} holds");
                BlockQuantizer.Quantize(type, floats, blocks.AsSpan(i * rowBytes, rowBytes));
            }
            ArrayPool<float>.Shared.Return(row);
        }
    }

    private static unsafe Q8GroupsTensor Quantize(Tensor tensor, int groupSize, int threads)
    {
        if (tensor is not Float32Tensor { Data: var data })
            throw new ArgumentException($"a {tensor.GetType().Name} is not float32", nameof(tensor));
        if (data.Length % groupSize != 0)
            throw new ArgumentException($"groups of {groupSize} do not divide {tensor.Rows} x {tensor.Columns}", nameof(groupSize));
        sbyte[] values = GC.AllocateUninitializedArray<sbyte>(data.Length);
        float[] scales = GC.AllocateUninitializedArray<float>(data.Length / groupSize);
        Kernel kernel = Kernel.Find(null);
        using Lock.Scope scope = Team.Shared.Enter();
        Team.Shared.Run(new Items(scales.Length, Math.Max(1, ChunkElements / groupSize), threads, QuantizeGroups));
        return new Q8GroupsTensor(tensor.Rows, tensor.Columns, groupSize, values, scales);

        void QuantizeGroups(int first, int count)
        {
            ReadOnlySpan<float> floats = data.Span.Slice(first * groupSize, count * groupSize);
            if (!AreFinite(floats))
                throw new NotFiniteNumberException("a weight is no finite number");
            fixed (float* x = floats, to = &scales[first])
            fixed (sbyte* ints = &values[first * groupSize])
                kernel.Quantize(x, floats.Length, groupSize, ints, to, halvesToEven: true);
        }
    }

    private static bool AreFinite(ReadOnlySpan<float> floats)
    {
        Vector<float> sum = Vector<float>.Zero; // of zeros, or NaN: x - x is NaN for what is not finite
        int i = 0;
        for (; i <= floats.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> x = new(floats[i..]);
            sum += x - x;
        }
        bool finite = sum == Vector<float>.Zero;
        for (; i < floats.Length; i++)
            finite &= float.IsFinite(floats[i]);
        return finite;
    }
}
