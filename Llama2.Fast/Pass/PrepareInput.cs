namespace Llama2.Fast.Pass;

/// <summary>
/// Makes the input of matrices: normalises rows, and quantises them where matrices are int8 or of blocks. A chunk has some rows.
/// </summary>
internal sealed unsafe class PrepareInput(RunState state) : Region
{
    private const int ChunkRows = 4;

    private Activations _x = state.Xb;
    private float* _weight;

    /// <summary>x = rmsnorm of the residual stream where weights for that are given; quantised where int8 matrices multiply x.</summary>
    public PrepareInput Over(Activations x, float* weight = null)
    {
        _x = x;
        _weight = weight;
        (Threads, Chunks) = (state.Threads, weight == null && x.Int8 is null && x.Blocks is null ? 0 : 1 + (state.Rows - 1) / ChunkRows);
        return this;
    }

    public override void Chunk(int chunk, int thread)
    {
        int end = Math.Min(state.Rows, (chunk + 1) * ChunkRows);
        for (int i = chunk * ChunkRows; i < end; i++)
        {
            if (_weight != null)
                state.Kernel.RmsNorm(_x[i], state.X[i], _weight, _x.Length, state.Config.NormEpsilon);
            if (_x.Int8 is not null)
                state.Kernel.Quantize(_x[i], _x.Length, _x.Int8, i);
            if (_x.Blocks is not null)
                state.Kernel.Quantize(_x[i], _x.Blocks, i);
        }
    }
}
