using System.Text;

namespace Llama2.Simple;

/// <summary>
/// Ends a text where one of several strings occurs, however its bytes are spread over tokens. Bytes that may yet turn out
/// to begin such a string are held back; the string itself never comes out.
/// </summary>
public sealed class StopMatcher
{
    private readonly byte[][] _stops;
    private readonly List<byte> _held = []; // the end of the text that begins a stop string, so far

    /// <summary>A matcher at the beginning of a text.</summary>
    /// <param name="stops">The strings, none of them empty.</param>
    public StopMatcher(IEnumerable<string> stops)
    {
        _stops = [.. stops.Select(Encoding.UTF8.GetBytes)];
        if (_stops.Any(stop => stop.Length == 0))
            throw new ArgumentException("an empty string stops every text", nameof(stops));
    }

    /// <summary>Whether a stop string has occurred; nothing more comes out.</summary>
    public bool Stopped { get; private set; }

    /// <summary>The bytes that certainly belong to the text, now that these have come.</summary>
    public byte[] Append(ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes)
        {
            if (Stopped)
                break;
            _held.Add(value);
            if (_stops.Where(stop => Tail(stop.Length).SequenceEqual(stop)).MaxBy(stop => stop.Length) is { } found)
            {
                Stopped = true;
                byte[] text = [.. _held.SkipLast(found.Length)];
                _held.Clear();
                return text;
            }
        }
        int keep = _stops.Length == 0 ? 0 : _stops.Max(Begun);
        return Release(_held.Count - keep);
    }

    /// <summary>What was held back, at the end of the text.</summary>
    public byte[] Flush() => Release(_held.Count);

    private IEnumerable<byte> Tail(int count) => _held.Skip(_held.Count - count);

    /// <summary>The longest beginning of a stop string with which the text ends now.</summary>
    private int Begun(byte[] stop)
    {
        int length = Math.Min(stop.Length - 1, _held.Count);
        while (length > 0 && !Tail(length).SequenceEqual(stop.Take(length)))
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
