namespace Llama2.Fuzz.Targets;

/// <summary>Weights from an input's bytes, each tensor between guard pages of its own.</summary>
internal sealed class GuardedModel : IDisposable
{
    private readonly List<IDisposable> _memory = [];

    /// <param name="config">The shape.</param>
    /// <param name="int8">Whether the matrices are int8.</param>
    /// <param name="tame">Whether rows are of a length around 1, as trained ones are, rather than of any numbers.</param>
    /// <param name="input">What decides the numbers, the group size and the alignment.</param>
    public GuardedModel(Config config, bool int8, bool tame, ref FuzzInput input)
    {
        int groupSize = int8 ? 1 << input.Between(0, 5) : 0;
        int dim = config.Dim, hidden = config.HiddenDim;
        // one that divides every matrix, whether or not it divides their rows
        while (groupSize > 1 && new[] { config.VocabSize * dim, dim * dim, config.KvDim * dim, hidden * dim }.Any(elements =>
            elements % groupSize != 0))
            groupSize /= 2;
        Tensor embedding = Matrix(ref input, config.VocabSize, dim);
        List<LayerWeights> layers = [];
        for (int l = 0; l < config.LayerCount; l++)
        {
            layers.Add(new LayerWeights
            {
                RmsAtt = Vector(ref input, dim),
                Wq = Matrix(ref input, dim, dim),
                Wk = Matrix(ref input, config.KvDim, dim),
                Wv = Matrix(ref input, config.KvDim, dim),
                Wo = Matrix(ref input, dim, dim),
                RmsFfn = Vector(ref input, dim),
                W1 = Matrix(ref input, hidden, dim),
                W2 = Matrix(ref input, dim, hidden),
                W3 = Matrix(ref input, hidden, dim),
            });
        }
        Weights = new Weights
        {
            TokenEmbedding = embedding,
            Layers = layers,
            RmsFinal = Vector(ref input, dim),
            Classifier = input.Bool() ? Matrix(ref input, config.VocabSize, dim) : embedding,
        };

        Tensor Matrix(ref FuzzInput input, int rows, int columns)
        {
            float[] numbers = Numbers(ref input, rows * columns, 1 / MathF.Sqrt(columns));
            if (groupSize == 0)
                return new Float32Tensor(rows, columns, Guard<float>(numbers, 4 * input.Between(0, 3)));
            sbyte[] values = new sbyte[numbers.Length];
            float[] scales = new float[numbers.Length / groupSize];
            Quantization.QuantizeWeights(numbers, groupSize, values, scales);
            return new Q8GroupsTensor(rows, columns, groupSize, Guard<sbyte>(values, 0), Guard<float>(scales, input.Between(0, 3)));
        }

        ReadOnlyMemory<float> Vector(ref FuzzInput input, int length) => Guard<float>(Numbers(ref input, length, 1), 0);

        float[] Numbers(ref FuzzInput input, int count, float spread)
        {
            float[] numbers = new float[count];
            if (!tame)
            {
                input.Fill(numbers);
                return numbers;
            }
            Random random = new(input.Value<ushort>());
            for (int i = 0; i < count; i++)
                numbers[i] = ((2 * random.NextSingle()) - 1) * spread;
            return numbers;
        }
    }

    public Weights Weights { get; }

    private Memory<T> Guard<T>(ReadOnlySpan<T> contents, int beforeEnd) where T : unmanaged
    {
        GuardedMemory<T> memory = new(contents, beforeEnd);
        _memory.Add(memory);
        return memory.Memory;
    }

    public void Dispose() => _memory.ForEach(memory => memory.Dispose());
}
