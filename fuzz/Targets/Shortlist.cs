using System.Buffers;

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
        FuzzInput input = new(data);
        int vocab = input.Between(Fresh, 300), dim = 16 * input.Between(1, 9), threads = input.Byte() is var b && b < 200 ? 1 : 1 + (b % 3);
        using GuardedMemory<float> classifier = new(vocab * dim, beforeEnd: 4 * input.Between(-1, 15));
        Span<float> rows = classifier.GetSpan();
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
        Float32Tensor tensor = new(vocab, dim, classifier.Memory);
        using Activations states = new(dim);
        states.EnsureRows(States);
        int[] expected = new int[States];
        for (int i = 0; i < States; i++)
        {
            for (int j = 0; j < dim; j++)
                states.Row(i)[j] = (1 - i) * state[j]; // another direction, and zeros
            expected[i] = Simple.Sampler.ArgMax(Logits(tensor, states, i));
        }
        Matrix matrix = new(tensor, pins);
        using Lock.Scope scope = Team.Shared.Enter();
        foreach (Kernel kernel in Kernel.Available)
        {
            using Fast.Pass.Shortlist shortlist = new(matrix, kernel, threads);
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

    private static unsafe float[] Logits(Float32Tensor classifier, Activations states, int row)
    {
        float[] logits = new float[classifier.Rows];
        fixed (float* o = logits)
            KernelUnderTest.Definition.Multiply(classifier, states[row], 1, o, logits.Length, add: false);
        return logits;
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-few-rows", [20, 0, 1, 0, 3, 1, 20, 3, 9, 27, 81, 243, 3, 7, 5, 3, 2, 1]),
        new("seed-many-rows", [200, 0, 4, 0, 0, 3, 200, 100, 50, 25, 12, 6, 3, 255, 1, 128, 64, 4, 8, 15, 16, 23, 42]),
        new("seed-threads", [44, 1, 8, 202, 5, 3, 31, 41, 59, 26, 53, 58, 97, 93, 3, 2, 7, 1, 8, 2, 8, 4, 6, 12, 9, 13]),
    ];
}
