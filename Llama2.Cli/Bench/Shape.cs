using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
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
        int[] numbers = [.. text.Split(',').Select(part => int.TryParse(part, NumberStyles.None, null, out int n) ? n : -1)];
        UsageException.ThrowIf(!Known.ContainsKey(text) && (numbers.Length != Config.FieldNames.Count || numbers.Contains(-1)),
            $"--shape {text}: expected {string.Join(", ", Known.Keys)} or {Fields}");
        CheckpointHeader header = new(0, Known.GetValueOrDefault(text) ?? Config.FromFields(numbers), SharedClassifier: true);
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
            bool isVector = Weights.IsVector(spec.Name);
            float range = MathF.Sqrt(3f / spec.Columns);
            for (long left = spec.Count * spec.Elements; left > 0; left -= chunk.Length)
            {
                cancellation.ThrowIfCancellationRequested();
                Span<float> part = chunk.AsSpan(0, (int)Math.Min(left, chunk.Length));
                foreach (ref float value in part)
                    value = isVector ? 1 : range * (2 * Sampler.RandomFloat(ref state) - 1);
                stream.Write(MemoryMarshal.AsBytes(part));
            }
        }
    }

    /// <summary>A tokenizer.bin for peers: control and byte tokens as in Llama 2, ASCII, and names that no text has.</summary>
    public static byte[] Tokenizer(int vocabSize)
    {
        string[] control = ["<unk>", "\n<s>\n", "\n</s>\n"];
        return TokenizerFile.ToBytes([.. Enumerable.Range(0, vocabSize).Select(id => (Encoding.UTF8.GetBytes(Piece(id)), -(float)id))]);

        string Piece(int id) =>
            id < 3 ? control[id] : id < 259 ? $"<0x{id - 3:X2}>" : id < 354 ? $"{(char)(' ' + id - 259)}" : $"<{id}>";
    }
}
