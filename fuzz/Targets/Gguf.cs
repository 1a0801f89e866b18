using System.Text;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Tensors;
using Llama2.Simple.Text;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// Any file is refused in one line that names it, or it holds a container whose values can all be read and whose tensors lie in the file;
/// and if it holds a model, that takes tokens. Memory stays in proportion to the file.
/// </summary>
internal static class Gguf
{
    private const long MaxAllocated = 64 << 20;
    private const int MaxWidth = 1 << 12; // of models that are run
    private static readonly ScratchFile Scratch = new("gguf");

    public static void Run(ReadOnlySpan<byte> data)
    {
        Scratch.Write(data);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Try(() =>
        {
            using GgufFile file = GgufFile.Open(Scratch.Path);
            foreach (string key in file.Metadata.Keys)
                Read(file.Metadata, key);
            foreach (GgufTensor tensor in file.Tensors)
            {
                if (tensor.Offset < file.DataOffset || tensor.Offset + tensor.Bytes > file.Length)
                    throw new BrokenPromiseException($"{tensor.Name} is not all in the file");
            }
            Try(() => GgufTokenizer.Create(file.Metadata).Encode("a text"u8));
        });
        Try(() =>
        {
            using ModelFile model = ModelFile.Open(Scratch.Path);
            if (Math.Max(model.Config.Dim, Math.Max(model.Config.QDim, model.Config.VocabSize)) <= MaxWidth)
                Forward(model);
        });
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (allocated > MaxAllocated)
            throw new BrokenPromiseException($"{allocated} bytes allocated for a file of {data.Length}");
    }

    private static void Read(GgufMetadata metadata, string key)
    {
        Try(() => metadata.GetString(key));
        Try(() => metadata.GetInteger(key));
        Try(() => metadata.GetUnsigned(key));
        Try(() => metadata.GetFloat(key));
        Try(() => metadata.GetBool(key));
        Try(() => metadata.GetLength(key));
        Try(() => metadata.GetStrings(key));
        Try(() => metadata.GetFloats(key));
        Try(() => metadata.GetIntegers(key));
    }

    private static void Try(Action action)
    {
        try
        {
            action();
        }
        catch (ModelFileException e)
        {
            if (e.Message.Contains('\n', StringComparison.Ordinal) || !e.Message.StartsWith(Scratch.Path, StringComparison.Ordinal))
                throw new BrokenPromiseException($"not one line that names the file: {e.Message}");
        }
    }

    private static void Forward(ModelFile model)
    {
        using Transformer transformer = new(model.Config, model.Weights);
        KvCache cache = new(model.Config);
        float[] logits = new float[model.Config.VocabSize];
        for (int i = 0; i < Math.Min(2, model.Config.SeqLen); i++)
            transformer.Forward([new Row(model.Config.VocabSize - 1, cache, Want.Logits)], logits);
    }

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-f32", Model("f32", new Config(4, 6, 1, 2, 1, 8, 16))),
        new("seed-f16-wide-heads", Model("f16", new Config(4, 4, 1, 1, 1, 8, 16) { HeadSize = 8, RopeDim = 4, RopeBase = 500000 })),
        new("seed-bf16", Model("bf16", new Config(4, 4, 2, 1, 1, 8, 16))),
        new("seed-values", Values()),
    ];

    public static byte[][] Words() =>
    [
        [.. GgufFile.Magic], [.. "general.alignment"u8], [.. "llama.rope.scaling.type"u8], [.. "llama.rope.scaling.factor"u8],
        [.. "yarn"u8], [.. "rope_freqs.weight"u8], [.. "blk.0.attn_q.bias"u8], [.. "split.count"u8], [.. "gpt2"u8],
    ];

    private static byte[] Model(string type, Config config)
    {
        Random random = new(7);
        Weights weights = Weights.From(config.LayerCount, isClassifierShared: true, (name, _) => name switch
        {
            "token_embedding_table" => Matrix(config.VocabSize, config.Dim),
            "wq" => Matrix(config.QDim, config.Dim),
            "wk" or "wv" => Matrix(config.KvDim, config.Dim),
            "wo" => Matrix(config.Dim, config.QDim),
            "w1" or "w3" => Matrix(config.HiddenDim, config.Dim),
            "w2" => Matrix(config.Dim, config.HiddenDim),
            _ => Weights.IsVector(name) && name[0] == 'r' && name != "rope_factors" ? Matrix(1, config.Dim) : null,
        });
        string[] pieces = ["<unk>", "<s>", "</s>", "<0x41>", " ", "a", "b", " a"];
        Tokenizer tokenizer = new(pieces.Select((piece, id) => (Encoding.UTF8.GetBytes(piece), -(float)id)));
        using MemoryStream stream = new();
        GgufModelWriter.Create("seed", config, weights, tokenizer, type).Write(stream);
        return stream.ToArray();

        Float32Tensor Matrix(int rows, int columns) =>
            new(rows, columns, (float[])[.. Enumerable.Range(0, rows * columns).Select(_ => random.NextSingle() - 0.5f)]);
    }

    // Version 1, with lengths of 32 bits: a uint16, an array of arrays and a string.
    private static byte[] Values()
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write(GgufFile.Magic);
        int[] numbers = [1, 0, 3];
        Array.ForEach(numbers, writer.Write);
        Key("a", 2);
        writer.Write((ushort)7);
        Key("b", 9);
        int[] arrays = [9, 2, 0, 1]; // two arrays, the first of one uint8
        Array.ForEach(arrays, writer.Write);
        writer.Write((byte)5);
        int[] empty = [4, 0];
        Array.ForEach(empty, writer.Write);
        Key("c", 8);
        writer.Write(2);
        writer.Write("xy"u8);
        return stream.ToArray();

        void Key(string key, int type)
        {
            writer.Write(key.Length);
            writer.Write(Encoding.UTF8.GetBytes(key));
            writer.Write(type);
        }
    }
}
