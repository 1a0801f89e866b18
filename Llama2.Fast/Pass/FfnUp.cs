namespace Llama2.Fast.Pass;

/// <summary>hb = silu(w1 @ xb) * (w3 @ xb).</summary>
internal sealed unsafe class FfnUp(RunState state) : MatrixRegion(state)
{
    private Layer? _layer;

    public FfnUp Over(Layer w)
    {
        _layer = w;
        Cut(w.W1.Rows, w.W1, State.Rows);
        return this;
    }

    protected override void Multiply(int first, int count, int thread)
    {
        Inputs x = State.Xb.Rows(0, State.Rows);
        Multiply(_layer!.W1, first, count, x, State.Hb[0], State.Hb.Stride, add: false, thread);
        Multiply(_layer.W3, first, count, x, State.Hb2[0], State.Hb2.Stride, add: false, thread);
        AddBias(State.Hb[0], State.Hb.Stride, State.Rows, _layer.B1, first, count);
        AddBias(State.Hb2[0], State.Hb2.Stride, State.Rows, _layer.B3, first, count);
        for (int i = 0; i < State.Rows; i++)
            State.Kernel.SwiGlu(State.Hb[i] + first, State.Hb2[i] + first, count);
    }
}
