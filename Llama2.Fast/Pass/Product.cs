namespace Llama2.Fast.Pass;

/// <summary>o (+)= w @ x, then o += bias.</summary>
internal sealed unsafe class Product(RunState state) : MatrixRegion(state)
{
    private Matrix? _w;
    private Activations? _x;
    private int _first, _count;
    private float* _o, _bias;
    private nint _oStride;
    private bool _add;

    public Product Over(Matrix w, Activations x, int first, int count, float* o, nint oStride, bool add, float* bias = null)
    {
        (_w, _x, _first, _count, _oStride, _add) = (w, x, first, count, oStride, add);
        _o = o;
        _bias = bias;
        Cut(w.Rows, w, count);
        return this;
    }

    protected override void Multiply(int first, int count, int thread)
    {
        Multiply(_w!, first, count, _x!.Rows(_first, _count), _o, _oStride, _add, thread);
        AddBias(_o, _oStride, _count, _bias, first, count);
    }
}
