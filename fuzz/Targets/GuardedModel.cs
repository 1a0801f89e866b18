namespace Llama2.Fuzz.Targets;

/// <summary>Weights from an input's bytes, each tensor between guard pages of its own.</summary>
internal sealed class GuardedModel : IDisposable
{
    private readonly List<IDisposable> _memory = [];

    /// <param name="input">What decides the numbers, the group size and the alignment.</param>
    /// <param name="config">The shape.</param>
    /// <param name="int8">Whether the matrices are int8.</param>
    /// <param name="tame">Whether rows are of a length around 1, as trained ones are, rather than of any numbers.</param>
    public GuardedModel(FuzzInput input, Config config, bool int8, bool tame)
    {
        CheckpointHeader header = new(2, config, SharedClassifier: input.Bool(), int8 ? 1 << input.Between(0, 5) : 0);
        // a group size that divides every matrix, whether or not it divides their rows
        while (header.Tensors().Any(spec => !spec.IsFloat32 && spec.Elements % spec.GroupSize != 0))
            header = header with { GroupSize = header.GroupSize / 2 };
        Dictionary<string, TensorSpec> specs = header.Tensors().ToDictionary(spec => spec.Name);
        Weights = Weights.From(config.LayerCount, header.SharedClassifier, (name, _) =>
            specs.TryGetValue(name, out TensorSpec? spec) ? Create(spec) : null);

        Tensor Create(TensorSpec spec)
        {
            float[] numbers = new float[spec.Elements];
            if (tame)
            {
                Random random = new(input.Value<ushort>());
                float spread = Weights.IsVector(spec.Name) ? 1 : 1 / MathF.Sqrt(spec.Columns);
                for (int i = 0; i < numbers.Length; i++)
                    numbers[i] = ((2 * random.NextSingle()) - 1) * spread;
            }
            else
                input.Fill(numbers);
            if (spec.IsFloat32)
                return new Float32Tensor(spec.Rows, spec.Columns, Guard<float>(numbers));
            sbyte[] values = new sbyte[numbers.Length];
            float[] scales = new float[numbers.Length / spec.GroupSize];
            Quantization.QuantizeWeights(numbers, spec.GroupSize, values, scales);
            return new Q8GroupsTensor(spec.Rows, spec.Columns, spec.GroupSize, Guard<sbyte>(values), Guard<float>(scales));
        }

        Memory<T> Guard<T>(ReadOnlySpan<T> contents) where T : unmanaged
        {
            GuardedMemory<T> memory = input.Guard<T>(contents.Length);
            _memory.Add(memory);
            contents.CopyTo(memory.GetSpan());
            return memory.Memory;
        }
    }

    public Weights Weights { get; }

    public void Dispose() => _memory.ForEach(memory => memory.Dispose());
}
