using System.Security.Cryptography;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Fuzz.Targets;

/// <summary>
/// A saved session, tried as it is and with its unused field and checksum put right: it is refused in one line, or written
/// again it is the same file.
/// </summary>
internal static class SessionFile
{
    private const string Implementation = "simple";
    private const int HeaderBytes = 104, UnusedBytes = 4; // at the header's end; 0 since a time is no longer kept there
    private static readonly ScratchFile Scratch = new("session");
    private static readonly Config Model = new(8, 6, 2, 4, 2, 5, 3);
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
        SavedSession session;
        try
        {
            session = Simple.Generation.Saved.SessionFile.Read(Scratch.Path, Model, Fingerprint, Implementation);
        }
        catch (ModelFileException e)
        {
            Scratch.CheckRefusal(e);
            return;
        }
        if (session.Notes.Contains('\uFFFD', StringComparison.Ordinal))
            return; // perhaps it was no UTF-8
        bool isUnusedZero = file.Slice(HeaderBytes - UnusedBytes, UnusedBytes).IndexOfAnyExcept((byte)0) < 0;
        if (isUnusedZero && !file.SequenceEqual(Write(session)))
            throw new BrokenPromiseException("read and written again, the file differs");
    }

    private static byte[] Write(SavedSession session)
    {
        MemoryStream file = new();
        Simple.Generation.Saved.SessionFile.Write(file, session, Model, Fingerprint, Implementation);
        return file.ToArray();
    }

    public static IEnumerable<Seed> Seeds() => [new("seed-empty-cache", Make(0, "")), new("seed-full-context", Make(Model.SeqLen, "note"))];

    public static byte[][] Words() => [Encoding.ASCII.GetBytes(Implementation), [0x53, 0x32, 0x25, 0x6c]];

    private static byte[] Make(int positions, string notes)
    {
        KvCache cache = new(Model, positions);
        for (int i = 0; i < positions; i++)
        {
            for (int layer = 0; layer < Model.LayerCount; layer++)
            {
                cache.Key(layer, i).Fill(i + 0.5f);
                cache.Value(layer, i).Fill(-i);
            }
            cache.Advance();
        }
        byte[] file = Write(new SavedSession([.. Enumerable.Range(0, positions + 1)], cache, 1, 0.9f, 42, notes));
        BitConverter.TryWriteBytes(file.AsSpan(HeaderBytes - UnusedBytes), 0.25f); // as older programs did
        SHA256.HashData(file.AsSpan(..^SHA256.HashSizeInBytes), file.AsSpan(^SHA256.HashSizeInBytes..));
        return file;
    }
}
