using Llama2.Tests.Properties;

namespace Llama2.Tests.Simple.Formats;

public sealed class CheckpointWriterTests
{
    private sealed class Steps : List<long>, IProgress<long>
    {
        public void Report(long value) => Add(value);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Progress_is_told_after_each_tensor(int version)
    {
        ModelShape shape = ModelShape.Tiny with { Version = version };
        Steps steps = [];
        using MemoryStream stream = new();
        CheckpointWriter.Write(stream, shape.Header, shape.CreateWeights(), progress: steps);
        TensorSpec[] tensors = [.. shape.Header.Tensors().SelectMany(tensor => Enumerable.Repeat(tensor, tensor.Count))];
        Assert.Equal(tensors.Length, steps.Count);
        Assert.Equal(tensors.Select(tensor => tensor.Bytes),
            steps.Zip(steps.Prepend(shape.Header.Bytes), (after, before) => after - before));
        Assert.Equal(stream.Length, steps[^1]);
    }

    [Fact]
    public void A_model_s_tensors_are_those_of_its_header()
    {
        foreach (bool shared in (bool[])[true, false])
        {
            ModelShape shape = ModelShape.Tiny with { Version = 1, Shared = shared }; // v0 also has tables of RoPE
            IEnumerable<(string, int, int, int)> specs = shape.Header.Tensors()
                .SelectMany(spec => Enumerable.Range(0, spec.Count).Select(layer => (spec.Name, layer, spec.Rows, spec.Columns)));
            IEnumerable<(string, int, int, int)> named = shape.CreateWeights().Named()
                .Select(named => (named.Name, named.Layer ?? 0, named.Tensor.Rows, named.Tensor.Columns));
            Assert.Equal(specs.Order(), named.Order());
        }
    }

    [Fact]
    public void A_tensor_that_no_model_has_is_an_error()
    {
        Weights weights = ModelShape.Tiny.CreateWeights();
        Assert.Throws<ArgumentOutOfRangeException>(() => weights["w4", 0]);
    }
}
