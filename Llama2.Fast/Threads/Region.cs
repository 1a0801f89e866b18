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
