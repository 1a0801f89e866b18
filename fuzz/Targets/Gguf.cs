using Llama2.Simple.Formats.Gguf;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// Any file is refused in one line that names it, or it holds a container whose values can all be read and whose tensors lie in the file;
/// and if it holds a model, that takes tokens. Memory stays in proportion to the file.
/// </summary>
internal static class Gguf
{
    private const long MaxAllocated = 64 << 20;
    private const int MaxWidth = 1 << 12; // of models that are run
    private static readonly ScratchFile Scratch = new();

    public static void Run(ReadOnlySpan<byte> data)
    {
        Scratch.Write(data);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Scratch.Read(ReadContainer);
        Scratch.Read(ReadModel);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (allocated > MaxAllocated)
            throw new BrokenPromiseException($"{allocated} bytes allocated for a file of {data.Length}");
    }

    private static bool ReadContainer(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        foreach (string key in file.Metadata.Keys)
        {
            Scratch.Read(_ => file.Metadata.GetString(key));
            Scratch.Read(_ => file.Metadata.GetInteger(key));
            Scratch.Read(_ => file.Metadata.GetUnsigned(key));
            Scratch.Read(_ => file.Metadata.GetFloat(key));
            Scratch.Read(_ => file.Metadata.GetBool(key));
            Scratch.Read(_ => file.Metadata.GetLength(key));
            Scratch.Read(_ => file.Metadata.GetStrings(key));
            Scratch.Read(_ => file.Metadata.GetFloats(key));
            Scratch.Read(_ => file.Metadata.GetIntegers(key));
        }
        foreach (GgufTensor tensor in file.Tensors)
        {
            if (tensor.Offset < file.DataOffset || tensor.Offset + tensor.Bytes > file.Length)
                throw new BrokenPromiseException($"{tensor.Name} is not all in the file");
        }
        Scratch.Read(_ => GgufTokenizer.Create(file.Metadata).Encode("a text"u8));
        return true;
    }

    private static bool ReadModel(string path)
    {
        using ModelFile model = ModelFile.Open(path);
        Config config = model.Config;
        if (config.Dim > MaxWidth || config.QDim > MaxWidth || config.VocabSize > MaxWidth)
            return true;
        using Transformer transformer = new(config, model.Weights);
        CheckpointFile.TakeTokens(transformer, new KvCache(config));
        return true;
    }
}
