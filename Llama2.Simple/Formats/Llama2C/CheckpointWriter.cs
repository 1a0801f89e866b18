using System.Numerics;
using System.Runtime.InteropServices;
using Llama2.Simple.Tensors;

namespace Llama2.Simple.Formats.Llama2C;

/// <summary>
/// Writes a checkpoint of any version from weights of any type, byte for byte as llama2.c's export.py does. Tensors that need no
/// conversion are copied, so reading a file and writing it again gives the same bytes. The cosines and sines of a v0 file, which no
/// reader uses, can differ in their last bit where they are computed: PyTorch's functions are not the C library's.
/// </summary>
public static class CheckpointWriter
{
    /// <summary>Writes header and tensors.</summary>
    /// <param name="header">The version and types to write; its shape must be that of the weights.</param>
    /// <param name="ropeTables"><see cref="Checkpoint.RopeTables"/> of the source for a v0 file; computed if empty.</param>
    /// <param name="progress">Gets the bytes written so far, after each tensor.</param>
    public static void Write(
        Stream stream, CheckpointHeader header, Weights weights, ReadOnlyMemory<float> ropeTables = default,
        IProgress<long>? progress = null)
    {
        long written = header.Bytes;
        stream.Write(header.ToBytes());
        foreach (TensorSpec spec in header.Tensors())
        {
            for (int i = 0; i < spec.Count; i++)
            {
                if (spec.Name == "rope_tables")
                    WriteRopeTable(stream, header.Config, ropeTables.Span, i);
                else
                    WriteMatrix(stream, spec, weights[spec.Name, i]);
                progress?.Report(written += spec.Bytes);
            }
        }
    }

    private static void WriteMatrix(Stream stream, TensorSpec spec, Tensor source)
    {
        if (source is Q8GroupsTensor same && same.GroupSize == spec.GroupSize)
        {
            stream.Write(MemoryMarshal.AsBytes(same.Values.Span));
            WriteFloats(stream, same.Scales.Span);
            return;
        }

        // Rows at a time, as many as fill whole groups; all int8 values precede all scales.
        int rows = spec.IsFloat32 ? 1 : spec.GroupSize / (int)BigInteger.GreatestCommonDivisor(spec.Columns, spec.GroupSize);
        float[] floats = new float[checked(rows * spec.Columns)];
        sbyte[] values = new sbyte[spec.IsFloat32 ? 0 : floats.Length];
        float[] scales = new float[spec.IsFloat32 ? 0 : (int)(spec.Elements / spec.GroupSize)];
        for (int row = 0; row < spec.Rows; row += rows)
        {
            int count = Math.Min(rows, spec.Rows - row) * spec.Columns;
            for (int i = 0; i < count / spec.Columns; i++)
                source.CopyRow(row + i, floats.AsSpan(i * spec.Columns, spec.Columns));
            if (spec.IsFloat32)
            {
                WriteFloats(stream, floats);
                continue;
            }
            int firstGroup = (int)((long)row * spec.Columns / spec.GroupSize);
            Quantization.QuantizeWeights(floats.AsSpan(0, count), spec.GroupSize, values, scales.AsSpan(firstGroup));
            stream.Write(MemoryMarshal.AsBytes(values.AsSpan(0, count)));
        }
        WriteFloats(stream, scales);
    }

    /// <summary>Table 0 holds the cosines, table 1 the sines: (seq_len, head_size / 2).</summary>
    private static void WriteRopeTable(Stream stream, Config config, ReadOnlySpan<float> tables, int table)
    {
        int half = config.HeadSize / 2;
        if (tables.Length == 2L * config.SeqLen * half)
        {
            WriteFloats(stream, tables.Slice(table * config.SeqLen * half, config.SeqLen * half));
            return;
        }
        float[] cosines = new float[half], sines = new float[half], frequencies = Nn.RopeFrequencies(config, default);
        for (int position = 0; position < config.SeqLen; position++)
        {
            Nn.RopeAngles(cosines, sines, position, frequencies, magnitude: 1);
            WriteFloats(stream, table == 0 ? cosines : sines);
        }
    }

    private static void WriteFloats(Stream stream, ReadOnlySpan<float> floats) => stream.Write(MemoryMarshal.AsBytes(floats));
}
