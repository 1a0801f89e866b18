using System.Numerics;
using System.Runtime.InteropServices;

namespace Llama2.Fuzz.Engine;

/// <summary>
/// One byte of native memory for each edge of the instrumented code, counting how often a run took it; as AFL's map,
/// which it may well be.
/// </summary>
internal sealed unsafe class EdgeMap
{
    /// <summary>Bytes in AFL's shared map; edges beyond share the bytes of earlier ones.</summary>
    public const int Size = 1 << 16;

    private readonly byte* _counters;
    private readonly byte[] _seen = new byte[Size]; // for each edge a bit for each order of magnitude seen

    public EdgeMap() : this((byte*)NativeMemory.AllocZeroed(Size))
    {
    }

    public EdgeMap(byte* counters) => _counters = counters;

    /// <summary>Edges given out.</summary>
    public int Count { get; private set; }

    /// <summary>Edges that some run has taken.</summary>
    public int Covered => _seen.Count(bits => bits != 0);

    /// <summary>The address of a new edge's counter.</summary>
    public nint NextCounter() => (nint)(_counters + (Count++ % Size));

    /// <summary>Edges in <paramref name="range"/> that some run has taken.</summary>
    public int CoveredIn(Range range) => _seen.AsSpan(range).Length - _seen.AsSpan(range).Count((byte)0);

    public void Clear() => Counters.Clear();

    /// <summary>What the last run did that no run before had done; remembers it.</summary>
    /// <param name="features">Receives edge * 8 + magnitude for each novelty, if it is not null.</param>
    public bool TakeNovelties(List<int>? features)
    {
        bool any = false;
        Span<byte> counters = Counters;
        for (int i = 0; (i = NextTaken(counters, i)) >= 0; i++)
        {
            int magnitude = Magnitude(counters[i]);
            if ((_seen[i] & (1 << magnitude)) != 0)
                continue;
            _seen[i] |= (byte)(1 << magnitude);
            features?.Add((i * 8) + magnitude);
            any = true;
        }
        return any;
    }

    /// <summary>The same for two runs that took the same edges, and each about as often.</summary>
    /// <param name="oftenness">False to ask only which.</param>
    public ulong Fingerprint(bool oftenness = true)
    {
        ulong hash = 14695981039346656037; // FNV-1a
        Span<byte> counters = Counters;
        for (int i = 0; (i = NextTaken(counters, i)) >= 0; i++)
            hash = (hash ^ (uint)((i * 8) + (oftenness ? Magnitude(counters[i]) : 0))) * 1099511628211;
        return hash;
    }

    private Span<byte> Counters => new(_counters, Math.Min(Count, Size));

    private static int NextTaken(Span<byte> counters, int from)
    {
        int next = counters[from..].IndexOfAnyExcept((byte)0);
        return next < 0 ? -1 : from + next;
    }

    // AFL's eight buckets: 1, 2, 3, 4-7, 8-15, 16-31, 32-127, 128 and more
    private static int Magnitude(byte count) => count switch
    {
        < 4 => count - 1,
        < 128 => Math.Min(BitOperations.Log2(count) + 1, 6),
        _ => 7,
    };
}
