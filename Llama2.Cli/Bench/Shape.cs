using System.Globalization;
using System.Runtime.InteropServices;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Llama2C;

namespace Llama2.Cli.Bench;

/// <summary>A model of random weights, whose speed is that of a real one (except that greedy decoding depends on the logits).</summary>
internal sealed record Shape(CheckpointHeader Header)
{
    public const string Fields = "DIM,HIDDEN,LAYERS,HEADS,KV_HEADS,VOCAB,CONTEXT";

    /// <summary>The shapes that llama2.c's author publishes.</summary>
    private static readonly Dictionary<string, Config> Known = new()
    {
        ["stories15M"] = new(288, 768, 6, 6, 6, 32000, 256),
        ["stories42M"] = new(512, 1376, 8, 8, 8, 32000, 1024),
        ["stories110M"] = new(768, 2048, 12, 12, 12, 32000, 1024),
    };

    /// <summary>Parses a known name, or seven numbers.</summary>
    /// <exception cref="UsageException">It is neither, or no model can have this shape.</exception>
    public static Shape Parse(string text)
    {
        CheckpointHeader header = new(0, Known.GetValueOrDefault(text) ?? ParseNumbers(text), SharedClassifier: true);
        try
        {
            CheckpointHeader.Parse(header.ToBytes(), header.FileLength, "--shape " + text); // it checks the fields
        }
        catch (Exception e) when (e is ModelFileException or ArithmeticException)
        {
            throw new UsageException(e is ModelFileException ? e.Message : $"--shape {text}: no model has such a shape");
        }
        return new Shape(header);
    }

    private static Config ParseNumbers(string text)
    {
        int[] numbers = [.. text.Split(',').Select(part => int.TryParse(part, NumberStyles.None, null, out int n) ? n : -1)];
        UsageException.ThrowIf(numbers.Length != Config.FieldNames.Count || numbers.Contains(-1),
            $"--shape {text}: expected {string.Join(", ", Known.Keys)} or {Fields}");
        return Config.FromFields(numbers);
    }

    /// <summary>
    /// Writes a float32 checkpoint, the same bytes on every call: uniform with variance 1 / columns, so that activations keep
    /// their size from layer to layer; the weights of the norms are 1.
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
                if (Weights.IsVector(spec.Name))
                    part.Fill(1);
                else if (spec.Name == "rope_tables") // no program reads them
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
        foreach (ref float value in floats)
        {
            ulong z = state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            value = (int)((z ^ (z >> 31)) >> 32) * (range / 2147483648f);
        }
    }

    /// <summary>Writes a tokenizer.bin for peers: control and byte tokens as in Llama 2, ASCII, and names that no text has.</summary>
    public static void WriteTokenizer(Stream stream, int vocabSize)
    {
        string[] control = ["<unk>", "\n<s>\n", "\n</s>\n"];
        using BinaryWriter writer = new(stream);
        writer.Write(16); // max_token_length
        for (int id = 0; id < vocabSize; id++)
        {
            string piece = id < 3 ? control[id] : id < 259 ? $"<0x{id - 3:X2}>" : id < 354 ? $"{(char)(' ' + id - 259)}" : $"<{id}>";
            writer.Write(-(float)id); // score
            writer.Write(piece.Length);
            writer.Write(piece.AsSpan());
        }
    }
}
