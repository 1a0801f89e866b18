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
    private static readonly ScratchFile Scratch = new();
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
        SavedSession? session = Scratch.Read(path =>
            Simple.Generation.Saved.SessionFile.Read(path, Model, Fingerprint, Implementation));
        if (session is null || session.Notes.Contains('\uFFFD', StringComparison.Ordinal)) // perhaps it was no UTF-8
            return;
        MemoryStream written = new();
        Simple.Generation.Saved.SessionFile.Write(written, session, Model, Fingerprint, Implementation);
        bool isUnusedZero = file.Slice(HeaderBytes - UnusedBytes, UnusedBytes).IndexOfAnyExcept((byte)0) < 0;
        if (isUnusedZero && !file.SequenceEqual(written.ToArray()))
            throw new BrokenPromiseException("read and written again, the file differs");
    }
}
