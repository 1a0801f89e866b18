using System.Security.Cryptography;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// A saved session, tried as it is and with its unused field and checksum put right: it is refused in one line, or a model goes on with it,
/// and written again it is the same file.
/// </summary>
internal static class SessionFile
{
    private const string Implementation = "simple";
    private const int HeaderBytes = 104, UnusedBytes = 4; // at the header's end; 0 since a time is no longer kept there
    private static readonly ScratchFile Scratch = new();
    private static readonly Config Model = new(8, 6, 2, 4, 2, 5, 3);
    private static readonly Weights Weights = GuardedModel.Create(new FuzzInput([]), Model, int8: false, tame: true);
    private static readonly ITransformer[] Transformers =
        [new Transformer(Model, Weights), new FastTransformer(Model, Weights, threads: 1)];
    private static readonly byte[] Fingerprint = new byte[SHA256.HashSizeInBytes];

    public static void Run(ReadOnlySpan<byte> data)
    {
        Try(data);
        if (data.Length < HeaderBytes + SHA256.HashSizeInBytes)
            return;
        byte[] repaired = data.ToArray();
        repaired.AsSpan(HeaderBytes - UnusedBytes, UnusedBytes).Clear();
        SHA256.HashData(repaired.AsSpan(..^SHA256.HashSizeInBytes), repaired.AsSpan(^SHA256.HashSizeInBytes..));
        Try(repaired);
    }

    private static void Try(ReadOnlySpan<byte> file)
    {
        Scratch.Write(file);
        SavedSession? session = Scratch.Read(path =>
            Simple.Generation.Saved.SessionFile.Read(path, Model, Fingerprint, Implementation));
        if (session is null)
            return;
        MemoryStream written = new();
        Simple.Generation.Saved.SessionFile.Write(written, session, Model, Fingerprint, Implementation);
        bool isUnusedZero = file.Slice(HeaderBytes - UnusedBytes, UnusedBytes).IndexOfAnyExcept((byte)0) < 0;
        bool isUtf8 = !session.Notes.Contains('\uFFFD', StringComparison.Ordinal); // which stands for bytes that are none
        if (isUnusedZero && isUtf8 && !file.SequenceEqual(written.ToArray()))
            throw new BrokenPromiseException("read and written again, the file differs");
        int length = session.Cache.Length;
        foreach (ITransformer transformer in Transformers)
        {
            session.Cache.Truncate(length);
            CheckpointFile.TakeTokens(transformer, session.Cache, session.Tokens[^1]);
        }
    }
}
