using System.Runtime.InteropServices;
using System.Text;

namespace Llama2.Simple.Text;

/// <summary>
/// Ends a text where one of several strings occurs, however its bytes are spread over tokens. Bytes that may yet turn out to begin such a
/// string are held back; the string itself never comes out.
/// </summary>
public sealed class StopMatcher
{
    private readonly byte[][] _stops;
    private readonly List<byte> _held = []; // the end of the text that begins a stop string, so far

    public StopMatcher(IEnumerable<string> stops)
    {
        _stops = [.. stops.Select(Encoding.UTF8.GetBytes)];
        if (_stops.Any(stop => stop.Length == 0))
            throw new ArgumentException("an empty string stops every text", nameof(stops));
    }

    public string? Stop { get; private set; } // the stop string that has occurred; nothing more comes out

    public bool Stopped => Stop is not null;

    /// <summary>The bytes that certainly belong to the text, now that these have come.</summary>
    public byte[] Append(ReadOnlySpan<byte> bytes)
    {
        if (_stops.Length == 0)
            return bytes.ToArray();
        foreach (byte value in bytes)
        {
            if (Stopped)
                break;
            _held.Add(value);
            if (_stops.Where(stop => EndsWith(stop)).MaxBy(stop => stop.Length) is not { } found)
                continue;
            Stop = Encoding.UTF8.GetString(found);
            byte[] text = [.. _held.SkipLast(found.Length)];
            _held.Clear();
            return text;
        }
        return Release(_held.Count - _stops.Max(Begun));
    }

    /// <summary>The bytes that were held back, at the end of the text.</summary>
    public byte[] Flush() => Release(_held.Count);

    private bool EndsWith(ReadOnlySpan<byte> bytes) => CollectionsMarshal.AsSpan(_held).EndsWith(bytes);

    // The length of the longest beginning of a stop string with which the text ends now.
    private int Begun(byte[] stop)
    {
        int length = Math.Min(stop.Length - 1, _held.Count);
        while (length > 0 && !EndsWith(stop.AsSpan(0, length)))
            length--;
        return length;
    }

    private byte[] Release(int count)
    {
        byte[] text = [.. _held.Take(count)];
        _held.RemoveRange(0, count);
        return text;
    }
}
