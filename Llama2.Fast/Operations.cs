using System.Buffers;
using Llama2.Fast.Kernels;
using Llama2.Simple;

namespace Llama2.Fast;

/// <summary>
/// The operations of a kernel one by one, on spans and one thread, for who measures or compares them. Spans that are
/// written, and those of activations, have room up to the next multiple of sixteen floats.
/// </summary>
internal abstract class Operations
{
    /// <summary>W (rows, n) @ x (tokens, n) -> o (tokens, rows), float32.</summary>
    public abstract void Multiply(ReadOnlySpan<float> w, ReadOnlySpan<float> x, Span<float> o, int rows, int n, int tokens);

    /// <summary>The same in int8, of activations quantised before.</summary>
    public abstract void Multiply(Q8Tensor w, QuantizedActivations x, Span<float> o, int tokens);

    /// <summary>Quantises x (tokens, n).</summary>
    public abstract void Quantize(ReadOnlySpan<float> x, QuantizedActivations quantized, int n, int tokens);

    /// <summary>o = weight * (x / rms(x)): (n,) each.</summary>
    public abstract void RmsNorm(Span<float> o, ReadOnlySpan<float> x, ReadOnlySpan<float> weight, int n);

    /// <summary>hb = silu(hb) * hb2: (n,) each.</summary>
    public abstract void SwiGlu(Span<float> hb, ReadOnlySpan<float> hb2, int n);

    /// <summary>att = softmax(att): (n,).</summary>
    public abstract void Softmax(Span<float> att, int n);

    /// <summary>One query of one head at <paramref name="position"/>, over keys and values (positions, head_size), into o (head_size,).</summary>
    public abstract void Attend(Span<float> q, Span<float> o, ReadOnlySpan<float> keys, ReadOnlySpan<float> values, int headSize, int position);
}

/// <summary>Those of lanes and int8 products.</summary>
internal sealed unsafe class Operations<TLanes, TInt8> : Operations
    where TLanes : struct, ILanes<TLanes>
    where TInt8 : struct, IInt8<TInt8>
{
    public override void Multiply(ReadOnlySpan<float> w, ReadOnlySpan<float> x, Span<float> o, int rows, int n, int tokens)
    {
        fixed (float* pw = w, px = x, po = o)
            MatMul<TLanes>.Multiply(pw, n, rows, px, n, tokens, n, po, rows, add: false);
    }

    public override void Multiply(Q8Tensor w, QuantizedActivations x, Span<float> o, int tokens)
    {
        List<MemoryHandle> pins = [];
        Matrix matrix = new(w, pins);
        using Lock.Scope scope = Team.Shared.Enter();
        float* scratch = Team.Shared.Scratch(0, MatMulInt8<TInt8>.ScratchCount(matrix));
        fixed (float* po = o)
            MatMulInt8<TInt8>.Multiply(matrix, 0, w.Rows, x, 0, tokens, po, w.Rows, add: false, scratch);
        pins.ForEach(pin => pin.Dispose());
    }

    public override void Quantize(ReadOnlySpan<float> x, QuantizedActivations quantized, int n, int tokens)
    {
        quantized.EnsureRows(tokens);
        fixed (float* px = x)
        {
            for (int t = 0; t < tokens; t++)
                quantized.Quantize<TLanes, TInt8>(t, px + (nint)t * n, n);
        }
    }

    public override void RmsNorm(Span<float> o, ReadOnlySpan<float> x, ReadOnlySpan<float> weight, int n)
    {
        fixed (float* po = o, px = x, pw = weight)
            Nn<TLanes>.RmsNorm(po, px, pw, n);
    }

    public override void SwiGlu(Span<float> hb, ReadOnlySpan<float> hb2, int n)
    {
        fixed (float* p = hb, p2 = hb2)
            Nn<TLanes>.SwiGlu(p, p2, n);
    }

    public override void Softmax(Span<float> att, int n)
    {
        fixed (float* p = att)
            Nn<TLanes>.Softmax(p, n);
    }

    public override void Attend(Span<float> q, Span<float> o, ReadOnlySpan<float> keys, ReadOnlySpan<float> values, int headSize, int position)
    {
        using Lock.Scope scope = Team.Shared.Enter();
        fixed (float* pq = q, po = o, pk = keys, pv = values)
        {
            Heads heads = new()
            {
                Q = pq,
                O = po,
                Stride = headSize,
                Queries = 1,
                Position = position,
                Keys = pk,
                Values = pv,
                KvDim = headSize,
                KvHeads = 1,
                KvMul = 1,
                HeadSize = headSize,
            };
            Attention<TLanes>.Attend(heads, Team.Shared.Scratch(0, Attention<TLanes>.ScratchCount(heads)));
        }
    }
}
