namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// How long forward passes take by the number of their rows: the median of the last few, or an estimate from the nearest numbers.
/// </summary>
internal sealed class StepTimes
{
    public const int MaxRows = 256;

    private const int Window = 5;           // times that a median is of, so that what else the machine does counts little
    private const int Old = 256;            // passes after which a time is not believed any more
    private const double UnknownRow = 0.06; // of the time of a known row: hopeful, so that more rows are tried

    private readonly Times?[] _times = new Times?[MaxRows + 1];
    private int _now;

    private sealed class Times
    {
        public readonly double[] Last = new double[Window];
        public int Count, Added;
        public double Median;
    }

    public int Largest { get; private set; } // number of rows that a pass has had

    /// <summary>Times of this number of rows that are known; the first is left out, since code may have been compiled in it.</summary>
    public int Known(int rows) => Fresh(rows)?.Count ?? 0;

    private Times? Fresh(int rows) => _times[rows] is { } times && _now - times.Added <= Old ? times : null;

    // The next lower number of rows of which a time is known, if there is one.
    private int Below(int rows)
    {
        while (rows > 1 && Fresh(rows) is null)
            rows--;
        return rows;
    }

    /// <summary>Adds the time of a forward pass.</summary>
    /// <param name="rows">1 to <see cref="MaxRows"/>.</param>
    /// <param name="expected">What was expected: until a second one is known, a first time counts at most twice as much.</param>
    public void Add(int rows, double seconds, double expected)
    {
        _now++;
        Largest = Math.Max(Largest, rows);
        if (_times[rows] is not { } times)
        {
            _times[rows] = new Times { Added = _now, Median = Math.Min(seconds, 2 * expected) };
            return;
        }
        if (_now - times.Added > Old)
            times.Count = 0;
        times.Last[times.Count % Window] = seconds;
        (times.Count, times.Added) = (times.Count + 1, _now);
        Span<double> sorted = stackalloc double[Window]; // by insertion: the library's sort of doubles would first be compiled
        int count = Math.Min(times.Count, Window);
        for (int i = 0; i < count; i++)
        {
            int at = i;
            for (; at > 0 && sorted[at - 1] > times.Last[i]; at--)
                sorted[at] = sorted[at - 1];
            sorted[at] = times.Last[i];
        }
        times.Median = sorted[count / 2];
    }

    /// <summary>The most that a pass of so many rows should take: where that is not known, as much more as it has more rows.</summary>
    public double AtMost(int rows)
    {
        int below = Below(rows);
        return Fresh(below) is { } known ? known.Median * rows / below : Of(rows);
    }

    /// <summary>The time of a pass of so many rows in seconds; some smaller number must be known.</summary>
    public double Of(int rows)
    {
        int below = Below(rows), above = rows;
        while (above < Math.Min(MaxRows, rows + DraftPolicy.MaxDrafts) && Fresh(above) is null)
            above++;
        if (below == rows || Fresh(below) is not { Median: var start })
            return _times[rows]?.Median ?? 0;
        return Fresh(above) is { Median: var end }
            ? start + (Math.Max(start, end) - start) * (rows - below) / (above - below)
            : start * (1 + UnknownRow * (rows - below) / below);
    }
}
