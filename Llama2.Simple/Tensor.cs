using System.Runtime.CompilerServices;

namespace Llama2.Simple;

/// <summary>
/// A weight matrix of shape (rows, columns). The formats differ in how a row becomes floats, and in how it meets a
/// vector; that is all a subclass says.
/// </summary>
public abstract class Tensor
{
    private protected Tensor(int rows, int columns)
    {
        Rows = rows;
        Columns = columns;
    }

    /// <summary>Number of rows: the length of the output of <see cref="Multiply"/>.</summary>
    public int Rows { get; }

    /// <summary>Floats in a row: the length of the input of <see cref="Multiply"/>.</summary>
    public int Columns { get; }

    /// <summary>Writes a row as floats: (columns,).</summary>
    public abstract void CopyRow(int row, Span<float> destination);

    /// <summary>W (rows, columns) @ x (columns,) -> xout (rows,): by far the most time is spent inside these.</summary>
    public abstract void Multiply(ReadOnlySpan<float> x, Span<float> xout);
}

/// <summary>A matrix of float32 as it lies in a v0 or v1 checkpoint: run.c's <c>matmul</c>.</summary>
public sealed class FloatTensor(int rows, int columns, ReadOnlyMemory<float> data) : Tensor(rows, columns)
{
    /// <summary>The elements, row by row: (rows, columns).</summary>
    public ReadOnlyMemory<float> Data { get; } = data;

    /// <inheritdoc/>
    public override void CopyRow(int row, Span<float> destination) => Data.Span.Slice(row * Columns, Columns).CopyTo(destination);

    /// <inheritdoc/>
    public override void Multiply(ReadOnlySpan<float> x, Span<float> xout) => Nn.MatMul(xout[..Rows], x[..Columns], Data.Span);
}

/// <summary>
/// A matrix quantised in groups (Q8_0 of a v2 checkpoint): element e of the flat matrix is Values[e] * Scales[e / GroupSize].
/// Groups run on across row ends where <see cref="Tensor.Columns"/> is not a multiple of the group size.
/// </summary>
public sealed class Q8Tensor(int rows, int columns, int groupSize, ReadOnlyMemory<sbyte> values, ReadOnlyMemory<float> scales) : Tensor(rows, columns)
{
    /// <summary>Elements that share a scale.</summary>
    public int GroupSize { get; } = groupSize;

    /// <summary>The int8 values, row by row: (rows, columns).</summary>
    public ReadOnlyMemory<sbyte> Values { get; } = values;

    /// <summary>One scale a group: (rows * columns / group_size,). It may lie at any address, also an odd one.</summary>
    public ReadOnlyMemory<float> Scales { get; } = scales;

    /// <inheritdoc/>
    public override void CopyRow(int row, Span<float> destination)
    {
        int start = row * Columns;
        ReadOnlySpan<sbyte> q = Values.Span.Slice(start, Columns);
        ReadOnlySpan<float> s = Scales.Span;
        for (int j = 0; j < q.Length; j++)
            destination[j] = q[j] * s[(start + j) / GroupSize];
    }

    /// <inheritdoc/>
    /// <remarks>
    /// runq.c's <c>matmul</c>, its activations quantised first. runq.c leaves out the elements after the last whole group
    /// of a row; here a run of equal scales ends where a group of x or of W ends, which is the same wherever runq.c is right.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Multiply(ReadOnlySpan<float> x, Span<float> xout)
    {
        sbyte[] xq = new sbyte[Columns];
        float[] xs = new float[(Columns + GroupSize - 1) / GroupSize];
        Quantization.QuantizeActivations(x, GroupSize, xq, xs);
        ReadOnlySpan<sbyte> wq = Values.Span;
        ReadOnlySpan<float> ws = Scales.Span;
        for (int i = 0; i < Rows; i++)
        {
            int start = i * Columns;
            float sum = 0;
            for (int j = 0; j < Columns;)
            {
                int wGroup = (start + j) / GroupSize, xGroup = j / GroupSize;
                int end = (int)Math.Min(Columns, Math.Min((wGroup + 1L) * GroupSize - start, (xGroup + 1L) * GroupSize));
                int dot = 0;
                for (; j < end; j++)
                    dot += xq[j] * wq[start + j];
                sum += dot * ws[wGroup] * xs[xGroup];
            }
            xout[i] = sum;
        }
    }
}

/// <summary>The vectors and matrices of a model, immutable and shared by all who run it.</summary>
public sealed class Weights
{
    /// <summary>Token embedding table: (vocab_size, dim).</summary>
    public required Tensor TokenEmbedding { get; init; }

    /// <summary>The layers, first to last.</summary>
    public required IReadOnlyList<LayerWeights> Layers { get; init; }

    /// <summary>Weights of the final rmsnorm: (dim,).</summary>
    public required ReadOnlyMemory<float> RmsFinal { get; init; }

    /// <summary>Classifier into logits: (vocab_size, dim); the same object as <see cref="TokenEmbedding"/> where they are tied.</summary>
    public required Tensor Classifier { get; init; }

    /// <summary>The two tables of sines and cosines in a v0 file, (2, seq_len, head_size / 2); run.c skips them, a writer may copy them. Else empty.</summary>
    public ReadOnlyMemory<float> RopeTables { get; init; }

    /// <summary>Whether the classifier is the embedding table.</summary>
    public bool IsClassifierShared => ReferenceEquals(TokenEmbedding, Classifier);

    /// <summary>The matrix of this name in run.c, or null if what has the name is a vector.</summary>
    public Tensor? Matrix(string name, int layer = 0) => name switch
    {
        "token_embedding_table" => TokenEmbedding,
        "wcls" => Classifier,
        "wq" => Layers[layer].Wq,
        "wk" => Layers[layer].Wk,
        "wv" => Layers[layer].Wv,
        "wo" => Layers[layer].Wo,
        "w1" => Layers[layer].W1,
        "w2" => Layers[layer].W2,
        "w3" => Layers[layer].W3,
        _ => null,
    };

    /// <summary>The vector of this name in run.c: (dim,).</summary>
    public ReadOnlyMemory<float> Vector(string name, int layer = 0) => name switch
    {
        "rms_att_weight" => Layers[layer].RmsAtt,
        "rms_ffn_weight" => Layers[layer].RmsFfn,
        "rms_final_weight" => RmsFinal,
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no vector has this name"),
    };
}

/// <summary>The weights of one layer. Note dim == n_heads * head_size.</summary>
public sealed class LayerWeights
{
    /// <summary>Weights of the rmsnorm before attention: (dim,).</summary>
    public required ReadOnlyMemory<float> RmsAtt { get; init; }

    /// <summary>Queries: (dim, dim).</summary>
    public required Tensor Wq { get; init; }

    /// <summary>Keys: (kv_dim, dim).</summary>
    public required Tensor Wk { get; init; }

    /// <summary>Values: (kv_dim, dim).</summary>
    public required Tensor Wv { get; init; }

    /// <summary>Output of the attention: (dim, dim).</summary>
    public required Tensor Wo { get; init; }

    /// <summary>Weights of the rmsnorm before the feed-forward net: (dim,).</summary>
    public required ReadOnlyMemory<float> RmsFfn { get; init; }

    /// <summary>Gate: (hidden_dim, dim).</summary>
    public required Tensor W1 { get; init; }

    /// <summary>Down: (dim, hidden_dim).</summary>
    public required Tensor W2 { get; init; }

    /// <summary>Up: (hidden_dim, dim).</summary>
    public required Tensor W3 { get; init; }
}
