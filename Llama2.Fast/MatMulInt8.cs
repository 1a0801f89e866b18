using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Llama2.Fast.Kernels;

namespace Llama2.Fast;

/// <summary>
/// W (rows, n) @ x (tokens, n) -> o (tokens, rows) of int8 in groups, bit for bit Simple's: a dot product goes through its
/// groups in order and adds of each the exact int32 sum, as a float, times the weights' scale, times the activations'.
/// </summary>
internal static unsafe class MatMulInt8<TInt8> where TInt8 : struct, IInt8
{
    /// <summary>Rows from <paramref name="first"/> on of <paramref name="w"/>, times the first activations of <paramref name="x"/>.</summary>
    /// <param name="w">The matrix.</param>
    /// <param name="first">Its first row.</param>
    /// <param name="rows">How many rows.</param>
    /// <param name="x">The activations.</param>
    /// <param name="row">The first row of activations.</param>
    /// <param name="tokens">How many of them.</param>
    /// <param name="o">Receives o[t * oStride + i] for row first + i.</param>
    /// <param name="oStride">Floats between tokens of <paramref name="o"/>.</param>
    /// <param name="add">Whether to add to what is there.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(in Matrix w, int first, int rows, QuantizedActivations x, int row, int tokens, float* o, nint oStride, bool add)
    {
        int i = 0;
        if (w.GroupSize % IInt8.Step == 0 && w.Columns % w.GroupSize == 0)
        {
            for (; i + 4 <= rows; i += 4)
            {
                for (int t = 0; t < tokens; t++)
                    FourRows(w, first + i, x.Values(row + t), x.Scales(row + t), o + t * oStride + i, add);
            }
        }
        for (; i < rows; i++)
        {
            for (int t = 0; t < tokens; t++)
            {
                float* to = o + t * oStride + i;
                float dot = AnyRow(w, first + i, x.Values(row + t), x.Scales(row + t));
                *to = add ? *to + dot : dot;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows(in Matrix w, int row, sbyte* x, float* xScales, float* o, bool add)
    {
        nint n = w.Columns;
        int groupSize = w.GroupSize, groups = w.Columns / groupSize;
        sbyte* values = w.Values + row * n;
        float* scales = w.Scales + row * (nint)groups;
        Vector128<float> sum = default;
        for (int g = 0; g < groups; g++, values += groupSize, x += groupSize, scales++)
        {
            Vector128<float> dots = Vector128.ConvertToSingle(TInt8.Dot(values, n, x, groupSize));
            Vector128<float> scale = Vector128.Create(scales[0], scales[groups], scales[2 * (nint)groups], scales[3 * (nint)groups]);
            sum += dots * scale * Vector128.Create(xScales[g]);
        }
        (add ? Vector128.Load(o) + sum : sum).Store(o);
    }

    // Groups of any size, which may straddle the ends of rows: a run of equal scales ends where a group of either does.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float AnyRow(in Matrix w, int row, sbyte* x, float* xScales)
    {
        long start = row * (long)w.Columns;
        float sum = 0;
        long group = start / w.GroupSize, left = (group + 1) * w.GroupSize - start; // of the weights
        int xLeft = w.GroupSize;                                                    // of the activations
        for (int j = 0; j < w.Columns;)
        {
            int count = (int)Math.Min(w.Columns - j, Math.Min(left, xLeft));
            int dot = Int8Scalar.Dot(w.Values + start + j, x + j, count);
            sum += dot * w.Scales[group] * *xScales;
            j += count;
            if ((left -= count) == 0)
                (group, left) = (group + 1, w.GroupSize);
            if ((xLeft -= count) == 0)
            {
                xScales++;
                xLeft = w.GroupSize;
            }
        }
        return sum;
    }
}
