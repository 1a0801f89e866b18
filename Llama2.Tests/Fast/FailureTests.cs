using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Fast.Threads;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Fast;

/// <summary>A pass that fails on the way leaves everything as it was.</summary>
public sealed unsafe class FailureTests
{
    /// <summary>The scalar kernel, whose products fail after some calls.</summary>
    private sealed class FailingKernel : Kernel
    {
        private readonly Kernel _scalar = All[^1];
        public int Left = int.MaxValue;

        public FailingKernel() : base("failing")
        {
        }

        protected override bool IsSupported => true;

        public override void Multiply(Matrix w, int first, int rows, in Inputs x, float* o, nint oStride, bool add,
            NativeBuffer<float> scratch)
        {
            if (Interlocked.Decrement(ref Left) < 0)
                throw new InsufficientMemoryException();
            _scalar.Multiply(w, first, rows, x, o, oStride, add, scratch);
        }

        public override float Dot(float* w, float* x, int n) => _scalar.Dot(w, x, n);
        public override void Attend(in Heads heads, NativeBuffer<float> scratch) => _scalar.Attend(heads, scratch);
        public override void RmsNorm(float* o, float* x, float* weight, int n, float epsilon) =>
            _scalar.RmsNorm(o, x, weight, n, epsilon);
        public override void SwiGlu(float* hb, float* hb2, int n) => _scalar.SwiGlu(hb, hb2, n);
        public override void Softmax(float* x, int n, float temperature) => _scalar.Softmax(x, n, temperature);
        public override void Quantize(float* x, int n, QuantizedActivations int8, int row) => _scalar.Quantize(x, n, int8, row);
        public override void Quantize(float* x, BlockActivations blocks, int row) => _scalar.Quantize(x, blocks, row);
        public override float Max(float* x, int n) => _scalar.Max(x, n);

        public override void Quantize(float* x, int n, int groupSize, sbyte* values, float* scales, bool halvesToEven) =>
            _scalar.Quantize(x, n, groupSize, values, scales, halvesToEven);

        public override float Bound(float* x, float* errors, float* norms, int n, float xNorm, float xError) =>
            _scalar.Bound(x, errors, norms, n, xNorm, xError);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void No_row_has_been_fed_after_a_failure_and_the_next_pass_is_right(int threads)
    {
        ModelShape shape = new(0, 16, 1, 2, 96, 2, 200, 400, Shared: true, 0, Palette.Normal, 12);
        Weights weights = shape.CreateWeights();
        FailingKernel kernel = new();
        using ForwardPass pass = new(shape.Config, weights, kernel, threads, minShortlist: 0);
        KvCache one = new(shape.Config), two = new(shape.Config);
        float[] expected = new float[shape.Vocab], actual = new float[shape.Vocab];
        Row[] rows = [.. Enumerable.Range(0, 300).Select(i => new Row(i % shape.Vocab, i % 3 == 0 ? one : two))]; // more than a batch
        rows[^1] = rows[^1] with { Want = Want.Logits };
        pass.Forward(rows, expected);
        int products = int.MaxValue - kernel.Left;

        for (int fail = 0; fail < products; fail += 1 + products / 10)
        {
            one.Truncate(0);
            two.Truncate(0);
            kernel.Left = fail;
            Assert.Throws<InsufficientMemoryException>(() => pass.Forward(rows, actual));
            Assert.Equal((0, 0), (one.Length, two.Length));
        }
        kernel.Left = int.MaxValue;
        pass.Forward(rows, actual);
        Bits.AssertEqual(expected, actual, "after failures");
    }
}
