namespace Llama2.Fast.Engine;

/// <summary>
/// Keys and values of texts that have ended, for prompts that begin as one of them: within a budget of bytes, from which those go first
/// that were of no use for the longest time. Texts of different keys never meet. What it keeps is not written any more.
/// </summary>
internal sealed class PrefixCache(Config config, long budget)
{
    private readonly List<Entry> _entries = []; // the one used last is the last

    private sealed record Entry(string Key, int[] Tokens, KvCache Cache);

    public long Bytes => _entries.Sum(entry => Size(config, entry.Cache));
    public long Tokens => _entries.Sum(entry => (long)entry.Tokens.Length);

    /// <summary>The kept text with the longest beginning in common with a prompt, and how many tokens that is.</summary>
    public (KvCache? Cache, int Common) Find(string key, ReadOnlySpan<int> prompt)
    {
        Entry? best = null;
        int most = 0;
        foreach (Entry entry in _entries)
        {
            int common = entry.Key == key ? prompt.CommonPrefixLength(entry.Tokens) : 0;
            if (common > most)
                (best, most) = (entry, common);
        }
        if (best is not null)
            Touch(best);
        return (best?.Cache, most);
    }

    /// <summary>Keeps the keys and values of these tokens, which belong to it from now on.</summary>
    /// <returns>Whether they are kept, perhaps as the beginning of a longer text: not if they are larger than the budget.</returns>
    public bool Add(string key, int[] tokens, KvCache cache)
    {
        if (tokens.Length == 0 || Size(config, cache) > budget)
            return false;
        if (_entries.Find(entry => entry.Key == key && entry.Tokens.AsSpan().StartsWith(tokens)) is { } longer)
        {
            Touch(longer);
            return true;
        }
        _entries.RemoveAll(entry => entry.Key == key && tokens.AsSpan().StartsWith(entry.Tokens));
        while (Bytes + Size(config, cache) > budget)
            _entries.RemoveAt(0);
        _entries.Add(new Entry(key, tokens, cache));
        return true;
    }

    /// <summary>Forgets the texts that begin with these tokens.</summary>
    public void Remove(string key, int[] tokens) =>
        _entries.RemoveAll(entry => entry.Key == key && entry.Tokens.AsSpan().StartsWith(tokens));

    public void Clear() => _entries.Clear();

    /// <summary>A new cache with the first positions of another one, and room for more.</summary>
    public static KvCache Copy(Config config, KvCache cache, int positions, int capacity)
    {
        KvCache copy = new(config, capacity);
        int floats = positions * config.KvDim;
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            cache.Keys(layer)[..floats].CopyTo(copy.Keys(layer));
            cache.Values(layer)[..floats].CopyTo(copy.Values(layer));
        }
        for (int i = 0; i < positions; i++)
            copy.Advance();
        return copy;
    }

    /// <summary>Bytes that a cache has allocated.</summary>
    public static long Size(Config config, KvCache cache) => 2L * sizeof(float) * config.LayerCount * config.KvDim * cache.Capacity;

    private void Touch(Entry entry)
    {
        _entries.Remove(entry);
        _entries.Add(entry);
    }
}
