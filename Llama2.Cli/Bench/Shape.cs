using System.Globalization;
using System.Runtime.InteropServices;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Bench;

/// <summary>A shape of model to measure without having its weights, of whose values the speed depends little: greedily, on how few logits come near the greatest.</summary>
/// <param name="Name">As the command line gives it.</param>
/// <param name="Header">Header of the checkpoint to make.</param>
internal sealed record Shape(string Name, CheckpointHeader Header)
{
    public static readonly string[] Fields = ["DIM", "HIDDEN", "LAYERS", "HEADS", "KV_HEADS", "VOCAB", "CONTEXT"];

    /// <summary>The shapes that llama2.c's author publishes.</summary>
    private static readonly Dictionary<string, Config> Known = new()
    {
        ["stories15M"] = new(288, 768, 6, 6, 6, 32000, 256),
        ["stories42M"] = new(512, 1376, 8, 8, 8, 32000, 1024),
        ["stories110M"] = new(768, 2048, 12, 12, 12, 32000, 1024),
    };

    /// <summary>A known name, or seven numbers.</summary>
    /// <exception cref="UsageException">It is neither, or no model has such a shape.</exception>
    public static Shape Parse(string text)
    {
        CheckpointHeader header = new(0, Known.TryGetValue(text, out Config? known) ? known : ParseNumbers(text), SharedClassifier: true);
        try
        {
            // the reader's own checks say what a shape must be
            CheckpointHeader.Parse(header.ToBytes(), header.FileLength, "--shape " + text);
        }
        catch (Exception e) when (e is CheckpointException or OverflowException or DivideByZeroException)
        {
            throw new UsageException(e is CheckpointException ? e.Message : $"--shape {text}: no model has such a shape");
        }
        return new Shape(text, header);
    }

    private static Config ParseNumbers(string text)
    {
        string[] parts = text.Split(',');
        int[] numbers = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (parts.Length != Fields.Length || !int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]))
                throw new UsageException($"--shape {text}: expected {string.Join(", ", Known.Keys)} or {string.Join(',', Fields)}");
        }
        return new Config(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]);
    }

    /// <summary>
    /// Writes a checkpoint of this shape, the same bytes at every call: float32 uniform with variance 1 / columns, so that
    /// activations keep their size from layer to layer; the norms' weights are 1, the tables that nobody reads 0.
    /// </summary>
    public void Write(Stream stream, CancellationToken cancellation)
    {
        stream.Write(Header.ToBytes());
        ulong state = 20240;
        float[] chunk = new float[1 << 16];
        foreach (TensorSpec spec in Header.Tensors())
        {
            for (long left = spec.Count * spec.Elements; left > 0; left -= chunk.Length)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<float> part = chunk.AsSpan(0, (int)Math.Min(left, chunk.Length));
                if (spec.Name.StartsWith("rms_", StringComparison.Ordinal))
                    part.Fill(1);
                else if (spec.Name == "rope_tables")
                    part.Clear();
                else
                    FillUniform(part, MathF.Sqrt(3f / spec.Columns), ref state);
                stream.Write(MemoryMarshal.AsBytes(part));
            }
        }
    }

    /// <summary>splitmix64, http://prng.di.unimi.it/splitmix64.c, as floats in [-range, range).</summary>
    private static void FillUniform(Span<float> floats, float range, ref ulong state)
    {
        for (int i = 0; i < floats.Length; i++)
        {
            ulong z = state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            floats[i] = (int)((z ^ (z >> 31)) >> 32) * (range / 2147483648f);
        }
    }

    /// <summary>
    /// A tokenizer.bin for programs that ask for one: the control and byte tokens of Llama 2, printable ASCII, and names
    /// that no text contains.
    /// </summary>
    public static void WriteTokenizer(Stream stream, int vocabSize)
    {
        using BinaryWriter writer = new(stream);
        writer.Write(16); // max_token_length
        for (int id = 0; id < vocabSize; id++)
        {
            string piece = id switch
            {
                0 => "<unk>",
                1 => "\n<s>\n",
                2 => "\n</s>\n",
                < 259 => $"<0x{id - 3:X2}>",
                < 259 + 95 => ((char)(' ' + id - 259)).ToString(),
                _ => $"<{id}>",
            };
            writer.Write(-(float)id); // score
            writer.Write(piece.Length);
            writer.Write(piece.AsSpan());
        }
    }
}
