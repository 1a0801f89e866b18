namespace Llama2.Fast.Pass;

/// <summary>The heads' outputs = attention of the queries over the caches. A chunk has some key/value heads of one group of rows.</summary>
internal sealed unsafe class Attend(RunState state) : Region
{
    private const int MaxHeads = 8; // of keys and values in a chunk; fewer where there are more threads than groups

    private int _layer, _heads, _parts;

    public Attend Over(int layer)
    {
        int kvHeads = state.Config.KvHeadCount;
        long bytes = (state.Positions[state.Rows - 1] + 1L) * state.Config.KvDim * sizeof(float) * state.Rows;
        Threads = bytes < MatrixRegion.MinBytes ? 1 : state.Threads;
        (_layer, _heads) = (layer, (int)Math.Clamp((long)state.GroupCount * kvHeads / Threads, 1, Math.Min(kvHeads, MaxHeads)));
        _parts = 1 + (kvHeads - 1) / _heads;
        Chunks = state.GroupCount * _parts;
        return this;
    }

    public override void Chunk(int chunk, int thread)
    {
        (int group, int part) = Math.DivRem(chunk, _parts);
        int row = state.Groups[group], tokens = state.Groups[group + 1] - row, kvHead = part * _heads;
        Heads heads = new()
        {
            Stride = state.Q.Stride,
            Tokens = tokens,
            Position = state.Positions[row],
            KvDim = state.Config.KvDim,
            KvHeads = Math.Min(_heads, state.Config.KvHeadCount - kvHead),
            KvMul = state.Config.KvMul,
            HeadSize = state.Config.HeadSize,
        };
        int kvFirst = kvHead * heads.HeadSize, first = kvFirst * heads.KvMul;
        for (int i = row; i < row + tokens; i++)
            state.Rotate(state.Q, i, first, heads.KvHeads * heads.KvMul * heads.HeadSize);
        fixed (float* keys = state.Caches[row].Keys(_layer), values = state.Caches[row].Values(_layer))
        {
            heads.Q = state.Q[row] + first;
            heads.O = state.HeadOutputs[row] + first;
            heads.Keys = keys + kvFirst;
            heads.Values = values + kvFirst;
            state.Kernel.Attend(heads, state.Team.Scratch(thread));
        }
    }
}
