namespace Llama2.Fast.Pass;

/// <summary>Products with matrices; a chunk has some of their rows.</summary>
internal abstract unsafe class MatrixRegion(RunState state) : Region
{
    public const long MinBytes = 1 << 15;  // one thread alone is faster with less
    private const int ChunksPerThread = 2; // so that others can take the chunks of a thread that is delayed

    private int _rows, _chunkRows;

    protected readonly RunState State = state;

    /// <summary>Cuts that many rows of matrices like this one. A chunk has whole lanes, and so whole pairs of RoPE.</summary>
    protected void Cut(int rows, Matrix like, int tokens)
    {
        Threads = rows * like.RowBytes * tokens < MinBytes ? 1 : State.Threads;
        long chunks = Threads == 1 ? 1 : (long)Threads * ChunksPerThread;
        (_rows, _chunkRows) = (rows, Lanes.RoundUp(1 + (int)((rows - 1) / chunks)));
        Chunks = 1 + (rows - 1) / _chunkRows;
    }

    public override void Chunk(int chunk, int thread)
    {
        int first = chunk * _chunkRows;
        Multiply(first, Math.Min(_chunkRows, _rows - first), thread);
    }

    protected abstract void Multiply(int first, int count, int thread);

    /// <summary>o (+)= w @ x, some rows.</summary>
    protected void Multiply(Matrix w, int first, int count, in Inputs x, float* o, nint oStride, bool add, int thread) =>
        State.Kernel.Multiply(w, first, count, x, o + first, oStride, add, State.Team.Scratch(thread));

    /// <summary>o += bias, some elements of that many rows; nothing where bias is null.</summary>
    protected static void AddBias(float* o, nint oStride, int rows, float* bias, int first, int count)
    {
        for (int i = 0; bias != null && i < rows; i++)
        {
            for (int j = first; j < first + count; j++)
                o[i * oStride + j] += bias[j];
        }
    }
}
