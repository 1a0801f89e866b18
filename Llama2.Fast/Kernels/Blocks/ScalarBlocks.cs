namespace Llama2.Fast.Kernels;

/// <summary>The definition, an element at a time, with Simple's own unpacking.</summary>
internal readonly unsafe struct ScalarBlocks : IBlockKernel
{
    public static bool IsSupported => true;

    public static void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add, NativeBuffer<float> memory)
    {
        Block block = new();
        for (int i = 0; i < rows; i++)
        {
            for (int t = 0; t < x.Count; t++)
            {
                float* to = o + t * oStride + i;
                float dot = Dot(w, first + i, x.Blocks!.Row(x.First + t), block);
                *to = add ? *to + dot : dot;
            }
        }
    }

    private static float Dot(Matrix w, int row, BlockUnit* x, Block block)
    {
        const int Lanes = BlockUnit.Groups, GroupSize = BlockUnit.GroupSize;
        GgmlType type = w.Blocks!;
        byte* bytes = w.Bytes + row * w.RowBytes;
        float* lanes = stackalloc float[Lanes];
        new Span<float>(lanes, Lanes).Clear();
        for (int g = 0; g < w.Columns / GroupSize; g++)
        {
            int start = g * GroupSize % type.BlockElements;
            if (start == 0)
            {
                type.Unpack!(new ReadOnlySpan<byte>(bytes, type.BlockBytes), block);
                bytes += type.BlockBytes;
            }
            int lane = g % Lanes, dot = 0, min = 0;
            for (int j = 0; j < GroupSize; j++)
            {
                int part = (start + j) / Block.PartElements, value = x->Values[lane * GroupSize + j];
                dot += block.Scales[part] * block.Values[start + j] * value;
                min += block.Minima[part] * value;
            }
            lanes[lane] = MathF.FusedMultiplyAdd(dot, block.Scale * x->Scales[lane], lanes[lane]);
            if (type.HasMinima)
                lanes[lane] = MathF.FusedMultiplyAdd(min, -(block.Min * x->Scales[lane]), lanes[lane]);
            if (lane == Lanes - 1)
                x++;
        }
        for (int half = Lanes / 2; half > 0; half /= 2)
        {
            for (int l = 0; l < half; l++)
                lanes[l] += lanes[l + half];
        }
        return lanes[0];
    }
}
