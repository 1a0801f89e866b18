using System.Numerics;

namespace Llama2.Fuzz.Engine;

/// <summary>The edges that runs have taken, and how often.</summary>
internal sealed class Coverage
{
    private readonly byte[] _seen = new byte[FlightRecorder.Edges]; // for each edge a bit for each power of two

    /// <summary>Edges that some run has taken.</summary>
    public int Edges { get; private set; }

    /// <summary>Turns how often each edge was taken into a bit for the power of two below.</summary>
    public static void Classify(Span<byte> trace)
    {
        for (int i = Next(trace, 0); i < trace.Length; i = Next(trace, i + 1))
            trace[i] = (byte)(1 << BitOperations.Log2(trace[i]));
    }

    /// <summary>Adds a run.</summary>
    /// <param name="trace">Its classified trace.</param>
    /// <returns>Whether it took a new edge, or an old one a new power of two often.</returns>
    public bool Add(ReadOnlySpan<byte> trace)
    {
        bool isNew = false;
        for (int i = Next(trace, 0); i < trace.Length; i = Next(trace, i + 1))
        {
            Edges += _seen[i] == 0 ? 1 : 0;
            isNew |= (trace[i] & ~_seen[i]) != 0;
            _seen[i] |= trace[i];
        }
        return isNew;
    }

    private static int Next(ReadOnlySpan<byte> trace, int from) =>
        trace[from..].IndexOfAnyExcept((byte)0) is >= 0 and var next ? from + next : trace.Length;
}
