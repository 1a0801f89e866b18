using System.Buffers.Binary;

namespace Llama2.Fuzz.Targets;

/// <summary>What is promised of any checkpoint, whatever its version.</summary>
internal static class CheckpointFile
{
    private const int MaxRepaired = 1 << 15;
    private static readonly ScratchFile Scratch = new();

    /// <summary>
    /// Tries the file as it is and, if its header is valid and its length is not, with the right length too: its own bytes,
    /// over and over, are the weights. Few mutations keep the length right. Files of other versions are other targets'.
    /// </summary>
    public static void Run(ReadOnlySpan<byte> data, int version)
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
        for (int i = data.Length; i < repaired.Length && !body.IsEmpty; i += body.Length)
            body[..Math.Min(body.Length, repaired.Length - i)].CopyTo(repaired.AsSpan(i));
        Open(repaired, isGood: true);
    }

    /// <summary>0 without the magic number, 1 for versions that there are not.</summary>
    private static int VersionOf(ReadOnlySpan<byte> data) =>
        !data.StartsWith("24ka"u8) ? 0 : data.StartsWith("24ka\u0002\0\0\0"u8) ? 2 : 1;

    private static void Open(ReadOnlySpan<byte> file, bool isGood)
    {
        Scratch.Write(file);
        using Checkpoint? checkpoint = Scratch.Read(path => Checkpoint.Open(path));
        if (checkpoint is not null != isGood)
            throw new BrokenPromiseException(isGood ? "refused a good file" : "accepted a bad file");
        if (checkpoint is null)
            return;
        MemoryStream written = new();
        CheckpointWriter.Write(written, checkpoint.Header, checkpoint.Weights, checkpoint.RopeTables());
        if (!file.SequenceEqual(written.GetBuffer().AsSpan(0, (int)written.Length)))
            throw new BrokenPromiseException("read and written again, the file differs");
        using Transformer transformer = new(checkpoint.Config, checkpoint.Weights);
        TakeTokens(transformer, new KvCache(checkpoint.Config));
    }

    /// <summary>Any model takes tokens up to the end of its context.</summary>
    /// <param name="transformer">The model.</param>
    /// <param name="cache">What has been fed.</param>
    /// <param name="token">The first token that is fed.</param>
    public static void TakeTokens(ITransformer transformer, KvCache cache, int token = 0)
    {
        Config config = transformer.Config;
        float[] output = new float[Math.Max(config.VocabSize, config.Dim)];
        foreach (Want want in new[] { Want.Nothing, Want.Logits, Want.Token, Want.Embedding })
        {
            int before = cache.Length;
            try
            {
                transformer.Forward([new Row(token, cache, want)], output);
            }
            catch (ContextFullException) when (before == config.SeqLen)
            {
                return;
            }
            if (cache.Length != before + 1 || cache.Length > config.SeqLen)
                throw new BrokenPromiseException($"{cache.Length} positions after {before} in a context of {config.SeqLen}");
            token = config.VocabSize - 1 - token;
        }
    }

    /// <summary>The length of a file with this header by the format's description; null if there is no such file.</summary>
    private static long? RightLength(ReadOnlySpan<byte> data)
    {
        int version = VersionOf(data);
        if (data.Length < (version == 0 ? 28 : 256) || (version == 1 && !data.StartsWith("24ka\u0001\0\0\0"u8)))
            return null;
        ReadOnlySpan<int> fields = MemoryMarshal.Cast<byte, int>(data.Slice(version == 0 ? 0 : 8, 28));
        (long dim, long hidden, long layers, long heads, long kvHeads, long vocab, long context) =
            (fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6]);
        bool own = version == 0 ? vocab < 0 : data[36] == 0;
        if (version == 0)
            vocab = Math.Abs(vocab);
        if (dim < 1 || hidden < 1 || layers < 1 || heads < 1 || kvHeads < 1 || vocab is < 1 or > 1 << 24 || context is < 1 or > 1 << 24
            || dim % heads != 0 || dim / heads % 2 != 0 || heads % kvHeads != 0)
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
}
