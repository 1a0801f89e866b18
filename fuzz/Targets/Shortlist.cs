namespace Llama2.Fuzz.Targets;

/// <summary>
/// A classifier of any numbers, most of its rows near copies of others, and states: where a kernel's shortlist finds a token, it is
/// the one that all logits give. The classifier lies between guard pages.
/// </summary>
internal static class Shortlist
{
    private const int Fresh = 4; // rows that are no copies
    private const int States = 3;

    public static void Run(ReadOnlySpan<byte> data)
    {
        using FuzzInput input = new(data);
        int vocab = input.Between(Fresh, 300), dim = 16 * input.Between(1, 9);
        Memory<float> classifier = input.Guard<float>(vocab * dim);
        Span<float> rows = classifier.Span;
        input.Fill(rows[..(Fresh * dim)]);
        float[] state = new float[dim];
        input.Fill(state);
        for (int i = Fresh; i < vocab; i++)
        {
            int how = input.Byte();
            Span<float> row = rows.Slice(i * dim, dim);
            rows.Slice((i - 1 - (how % Fresh)) * dim, dim).CopyTo(row);
            ref float element = ref row[(i + how) % dim];
            element = (how / Fresh % 4) switch { 0 => element, 1 => MathF.BitIncrement(element), 2 => element * 0.99f, _ => -element };
        }

        List<MemoryHandle> pins = [];
        Float32Tensor tensor = new(vocab, dim, classifier);
        using Activations states = new(dim);
        states.EnsureRows(States);
        int[] expected = new int[States];
        for (int i = 0; i < States; i++)
        {
            for (int j = 0; j < dim; j++)
                states.Row(i)[j] = (1 - i) * state[j]; // another direction, and zeros
            float[] logits = new float[vocab];
            KernelUnderTest.Definition.Multiply(tensor, states.Row(i), 1, logits, vocab, add: false);
            expected[i] = Simple.Sampler.ArgMax(logits);
        }
        Matrix matrix = new(tensor, pins);
        using Lock.Scope scope = Team.Shared.Enter();
        foreach (Kernel kernel in Kernel.Available)
        {
            using Fast.Pass.Shortlist shortlist = new(matrix, kernel, threads: 1);
            for (int count = 1; count <= States; count++)
            {
                int[] tokens = new int[count];
                shortlist.Find(states, [.. Enumerable.Range(0, count)], tokens);
                for (int i = 0; i < count; i++)
                {
                    if (tokens[i] != Fast.Pass.Shortlist.NoToken && tokens[i] != expected[i])
                        throw new BrokenPromiseException($"{kernel.Name}: token {tokens[i]} of state {i}, not {expected[i]}");
                }
            }
        }
        pins.ForEach(pin => pin.Dispose());
    }
}
