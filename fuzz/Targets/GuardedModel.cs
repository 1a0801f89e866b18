namespace Llama2.Fuzz.Targets;

/// <summary>Weights from an input's bytes, each tensor between guard pages of its own.</summary>
internal static class GuardedModel
{
    /// <param name="input">What decides the numbers, the group size and the alignment.</param>
    /// <param name="config">The shape.</param>
    /// <param name="int8">Whether the matrices are int8.</param>
    /// <param name="tame">Whether rows are of a length around 1, as trained ones are, rather than of any numbers.</param>
    public static Weights Create(FuzzInput input, Config config, bool int8, bool tame)
    {
        CheckpointHeader header = new(2, config, SharedClassifier: input.Bool(), int8 ? 1 << input.Between(0, 5) : 0);
        // a group size that divides every matrix, whether or not it divides their rows
        while (header.Tensors().Any(spec => !spec.IsFloat32 && spec.Elements % spec.GroupSize != 0))
            header = header with { GroupSize = header.GroupSize / 2 };
        Dictionary<string, TensorSpec> specs = header.Tensors().ToDictionary(spec => spec.Name);
        return Weights.From(config.LayerCount, header.SharedClassifier, (name, _) =>
            specs.TryGetValue(name, out TensorSpec? spec) ? Create(input, spec, tame) : null);
    }

    private static Tensor Create(FuzzInput input, TensorSpec spec, bool tame)
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
            return new Float32Tensor(spec.Rows, spec.Columns, input.Guard<float>(numbers));
        sbyte[] values = new sbyte[numbers.Length];
        float[] scales = new float[numbers.Length / spec.GroupSize];
        Quantization.QuantizeWeights(numbers, spec.GroupSize, values, scales);
        return new Q8GroupsTensor(spec.Rows, spec.Columns, spec.GroupSize, input.Guard<sbyte>(values), input.Guard<float>(scales));
    }
}
