namespace Llama2.Fast.Threads;

/// <summary>Work that the threads of a <see cref="Team"/> share, cut in chunks. Its parameters are fields, which Over sets.</summary>
internal abstract class Region
{
    /// <summary>Threads that are worth having, at most.</summary>
    public int Threads { get; protected set; }

    /// <summary>Chunks of the next run.</summary>
    public int Chunks { get; protected set; }

    /// <summary>Does a chunk; chunks run on several threads at once, in any order.</summary>
    /// <param name="chunk">From 0 to <see cref="Chunks"/> - 1.</param>
    /// <param name="thread">The number of this thread, from 0 to <see cref="Threads"/> - 1 or more.</param>
    public abstract void Chunk(int chunk, int thread);
}

/// <summary>Items in chunks of at most so many, on as many threads, or 0 for one on each physical core.</summary>
/// <remarks>The work gets the first item of a chunk and how many there are.</remarks>
internal sealed class Items : Region
{
    private readonly int _items, _chunkItems;
    private readonly Action<int, int> _work;

    public Items(int items, int chunkItems, int threads, Action<int, int> work)
    {
        (_items, _chunkItems, _work) = (items, chunkItems, work);
        (Threads, Chunks) = (threads == 0 ? Cores.Available : threads, items == 0 ? 0 : 1 + (items - 1) / chunkItems);
    }

    public override void Chunk(int chunk, int thread)
    {
        int first = chunk * _chunkItems;
        _work(first, Math.Min(_chunkItems, _items - first));
    }
}
