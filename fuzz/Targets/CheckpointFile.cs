using System.Buffers.Binary;

namespace Llama2.Fuzz.Targets;

/// <summary>What is promised of any checkpoint, whatever its version.</summary>
internal static class CheckpointFile
{
    private const int MaxRepaired = 1 << 15;
    private static readonly ScratchFile Scratch = new("checkpoint");

    /// <summary>The first eight bytes of a version 1 or 2 file.</summary>
    public static byte[] Magic(int version) => [0x32, 0x34, 0x6b, 0x61, (byte)version, 0, 0, 0];

    /// <summary>The version whose target tries this file.</summary>
    public static int VersionOf(ReadOnlySpan<byte> data) =>
        !data.StartsWith(Magic(1).AsSpan(0, 4)) ? 0 : data.StartsWith(Magic(2)) ? 2 : 1;

    /// <summary>
    /// Tries the file as it is and, if its header is valid and its length is not, with the right length too: its own bytes,
    /// over and over, are the weights. Few mutations keep the length right. Files of other versions are other targets'.
    /// </summary>
    public static void Try(ReadOnlySpan<byte> data, int version)
    {
        if (VersionOf(data) != version)
            return;
        long? length = RightLength(data);
        Open(data, length == data.Length);
        if (length is not <= MaxRepaired || length == data.Length)
            return;
        byte[] repaired = new byte[(int)length];
        data[..Math.Min(data.Length, repaired.Length)].CopyTo(repaired);
        ReadOnlySpan<byte> body = data[(version == 0 ? 28 : 256)..];
        if (!body.IsEmpty)
        {
            for (int i = data.Length; i < repaired.Length; i += body.Length)
                body[..Math.Min(body.Length, repaired.Length - i)].CopyTo(repaired.AsSpan(i));
        }
        Open(repaired, accepted: true);
    }

    private static void Open(ReadOnlySpan<byte> file, bool accepted)
    {
        Scratch.Write(file);
        Checkpoint checkpoint;
        try
        {
            checkpoint = Checkpoint.Open(Scratch.Path);
        }
        catch (ModelFileException e)
        {
            if (accepted)
                throw new BrokenPromiseException($"refused a good file: {e.Message}");
            Scratch.CheckRefusal(e);
            return;
        }
        using (checkpoint)
        {
            if (!accepted)
                throw new BrokenPromiseException("accepted a bad file");
            MemoryStream written = new();
            CheckpointWriter.Write(written, checkpoint.Header, checkpoint.Weights, checkpoint.RopeTables());
            if (!file.SequenceEqual(written.GetBuffer().AsSpan(0, (int)written.Length)))
                throw new BrokenPromiseException("read and written again, the file differs");
            Forward(checkpoint);
        }
    }

    private static void Forward(Checkpoint checkpoint)
    {
        Config config = checkpoint.Config;
        using Transformer transformer = new(config, checkpoint.Weights);
        KvCache cache = new(config);
        float[] output = new float[Math.Max(config.VocabSize, config.Dim)];
        Want[] wants = [Want.Nothing, Want.Logits, Want.Token, Want.Embedding];
        for (int i = 0; i < wants.Length; i++)
        {
            Row row = new(i % 2 == 0 ? config.VocabSize - 1 : 0, cache, wants[i]);
            try
            {
                transformer.Forward([row], output);
            }
            catch (ContextFullException) when (i >= config.SeqLen)
            {
                return;
            }
            if (cache.Length != i + 1 || cache.Length > config.SeqLen)
                throw new BrokenPromiseException($"{cache.Length} positions after {i + 1} tokens in a context of {config.SeqLen}");
        }
    }

    /// <summary>The length of a file with this header by the format's description; null if there is no such file.</summary>
    private static long? RightLength(ReadOnlySpan<byte> data)
    {
        int version = VersionOf(data);
        if (data.Length < (version == 0 ? 28 : 256) || (version > 0 && !data.StartsWith(Magic(version))))
            return null;
        ReadOnlySpan<int> fields = MemoryMarshal.Cast<byte, int>(data.Slice(version == 0 ? 0 : 8, 28));
        (long dim, long hidden, long layers, long heads, long kvHeads, long vocab, long context) =
            (fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6]);
        bool own = version == 0 ? vocab < 0 : data[36] == 0;
        if (version == 0)
            vocab = Math.Abs(vocab);
        if (dim < 1 || hidden < 1 || layers < 1 || heads < 1 || kvHeads < 1)
            return null;
        if (vocab is < 1 or > 1 << 24 || context is < 1 or > 1 << 24)
            return null;
        if (dim % heads != 0 || dim / heads % 2 != 0 || heads % kvHeads != 0)
            return null;
        int used = version switch { 0 => 28, 1 => 37, _ => 41 };
        if (version > 0 && (data[36] > 1 || data[used..256].ContainsAnyExcept((byte)0)))
            return null;

        long group = version == 2 ? BinaryPrimitives.ReadInt32LittleEndian(data[37..]) : 0;
        if (version == 2 && group < 1)
            return null;
        long headSize = dim / heads, kvDim = headSize * kvHeads;
        Int128 length = (version == 0 ? 28 : 256) + (Int128)4 * dim * ((2 * layers) + 1);
        if (version == 0)
            length += (Int128)4 * context * headSize;
        (long Count, long Rows, long Columns)[] matrices =
            [(own ? 2 : 1, vocab, dim), (2 * layers, dim, dim), (2 * layers, kvDim, dim), (2 * layers, hidden, dim), (layers, dim, hidden)];
        foreach ((long count, long rows, long columns) in matrices)
        {
            long elements = rows * columns; // both below 2^31
            if (elements > Array.MaxLength || (version == 2 && elements % group != 0))
                return null;
            length += count * (version == 2 ? elements + (4 * (elements / group)) : (Int128)4 * elements);
        }
        return version == 0 && context * headSize / 2 > Array.MaxLength ? null : length > long.MaxValue ? null : (long)length;
    }

    /// <summary>A small model's file: its weights are a fixed sequence of pseudo-random numbers around zero.</summary>
    public static byte[] Make(CheckpointHeader header)
    {
        byte[] file = new byte[header.FileLength];
        Random random = new(20240);
        if (header.Version == 2)
            random.NextBytes(file);
        Span<float> floats = MemoryMarshal.Cast<byte, float>(file.AsSpan(header.Bytes));
        for (int i = 0; i < floats.Length && (header.Version != 2 || i < ((2 * header.Config.LayerCount) + 1) * header.Config.Dim); i++)
            floats[i] = random.NextSingle() - 0.5f;
        header.ToBytes().CopyTo(file, 0);
        return file;
    }
}
