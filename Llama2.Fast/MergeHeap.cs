namespace Llama2.Fast;

/// <summary>What two neighbouring symbols of a text become together, if they do.</summary>
internal interface IMerges
{
    /// <param name="index">The left symbol's index among those that the text began with.</param>
    /// <param name="left">The left symbol; not negative.</param>
    /// <param name="right">The right symbol.</param>
    /// <param name="merged">What they become.</param>
    /// <param name="score">The merge with the highest one is done first, the leftmost of equals.</param>
    bool Find(int index, int left, int right, out int merged, out float score);
}

/// <summary>
/// Merges neighbours until none can be, the best pair first. A heap holds the pairs, where the plain algorithm looks at all of them again
/// after each merge; so a text of n symbols takes n log n steps.
/// </summary>
internal static class MergeHeap
{
    private const int None = -1;

    /// <summary>Two neighbours that could become one symbol.</summary>
    private readonly record struct Pair(int Index, int Left, int Right, int Merged);

    private static readonly Comparer<(float Score, int Index)> BestFirst = Comparer<(float Score, int Index)>.Create(
        static (a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Index.CompareTo(b.Index));

    /// <summary>Merges the symbols in place.</summary>
    public static void Merge<TMerges>(List<int> symbols, TMerges merges)
        where TMerges : IMerges, allows ref struct
    {
        if (symbols.Count < 2)
            return;
        // the symbols are a doubly linked list
        int[] previous = [.. Enumerable.Range(None, symbols.Count)], next = [.. Enumerable.Range(1, symbols.Count)];
        next[^1] = None;
        PriorityQueue<Pair, (float Score, int Index)> best = new(BestFirst);
        for (int i = 0; i < symbols.Count; i++)
            Propose(i, symbols, next, best, ref merges);
        while (best.TryDequeue(out Pair pair, out _))
        {
            int left = pair.Index, right = next[left];
            if (symbols[left] != pair.Left || right == None || symbols[right] != pair.Right)
                continue; // one of them has become part of another symbol
            (symbols[left], symbols[right]) = (pair.Merged, None);
            next[left] = next[right];
            if (next[left] != None)
                previous[next[left]] = left;
            Propose(left, symbols, next, best, ref merges);
            Propose(previous[left], symbols, next, best, ref merges);
        }
        symbols.RemoveAll(static symbol => symbol == None);
    }

    private static void Propose<TMerges>(
        int left, List<int> symbols, int[] next, PriorityQueue<Pair, (float Score, int Index)> best, ref TMerges merges)
        where TMerges : IMerges, allows ref struct
    {
        if (left == None || next[left] == None)
            return;
        (int a, int b) = (symbols[left], symbols[next[left]]);
        if (merges.Find(left, a, b, out int merged, out float score))
            best.Enqueue(new Pair(left, a, b, merged), (score, left));
    }
}
