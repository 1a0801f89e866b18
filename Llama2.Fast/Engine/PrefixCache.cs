namespace Llama2.Fast.Engine;

/// <summary>
/// Keys and values of texts that have ended, for prompts that begin as one of them: within a budget of bytes, from which those go first
/// that were of no use for the longest time. Texts of different keys never meet. What it keeps is not written any more. Its members are
/// safe for concurrent use.
/// </summary>
internal sealed class PrefixCache(Config config, long budget)
{
    private readonly Lock _gate = new();              // guards what follows
    private readonly LinkedList<Entry> _entries = []; // the one used last is the last

    private sealed record Entry(string Key, int[] Tokens, KvCache Cache);

    public long Bytes { get; private set; }
    public long Tokens { get; private set; }

    /// <summary>The kept text with the longest beginning in common with a prompt, and how many tokens that is.</summary>
    public (KvCache? Cache, int Common) Find(string key, ReadOnlySpan<int> prompt)
    {
        using Lock.Scope scope = _gate.EnterScope();
        LinkedListNode<Entry>? best = null;
        int most = 0;
        for (LinkedListNode<Entry>? node = _entries.First; node is not null; node = node.Next)
        {
            int common = node.Value.Key == key ? prompt.CommonPrefixLength(node.Value.Tokens) : 0;
            if (common > most)
                (best, most) = (node, common);
        }
        if (best is not null)
            Touch(best);
        return (best?.Value.Cache, most);
    }

    /// <summary>Keeps the keys and values of these tokens, which belong to it from now on.</summary>
    /// <returns>Whether they are kept, perhaps as the beginning of a longer text: not if they are larger than the budget.</returns>
    public bool Add(string key, ReadOnlySpan<int> tokens, KvCache cache)
    {
        using Lock.Scope scope = _gate.EnterScope();
        if (tokens.IsEmpty || Size(config, cache) > budget)
            return false;
        for (LinkedListNode<Entry>? node = _entries.First, next; node is not null; node = next)
        {
            next = node.Next;
            if (node.Value.Key != key)
                continue;
            int common = tokens.CommonPrefixLength(node.Value.Tokens);
            if (common == tokens.Length) // there is one that goes on
            {
                Touch(node);
                return true;
            }
            if (common == node.Value.Tokens.Length)
                Remove(node);
        }
        while (Bytes + Size(config, cache) > budget)
            Remove(_entries.First!);
        _entries.AddLast(new Entry(key, tokens.ToArray(), cache));
        Bytes += Size(config, cache);
        Tokens += tokens.Length;
        return true;
    }

    /// <summary>Forgets the texts that begin with these tokens.</summary>
    public void Remove(string key, ReadOnlySpan<int> tokens)
    {
        using Lock.Scope scope = _gate.EnterScope();
        for (LinkedListNode<Entry>? node = _entries.First, next; node is not null; node = next)
        {
            next = node.Next;
            if (node.Value.Key == key && tokens.CommonPrefixLength(node.Value.Tokens) == tokens.Length)
                Remove(node);
        }
    }

    public void Clear()
    {
        using Lock.Scope scope = _gate.EnterScope();
        _entries.Clear();
        (Bytes, Tokens) = (0, 0);
    }

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

    private void Touch(LinkedListNode<Entry> node)
    {
        _entries.Remove(node);
        _entries.AddLast(node);
    }

    private void Remove(LinkedListNode<Entry> node)
    {
        _entries.Remove(node);
        Bytes -= Size(config, node.Value.Cache);
        Tokens -= node.Value.Tokens.Length;
    }
}
