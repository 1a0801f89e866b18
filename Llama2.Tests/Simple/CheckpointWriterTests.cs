using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Tests.Properties;

namespace Llama2.Tests.Simple;

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
        ModelShape shape = new(version, HalfHead: 1, KvHeads: 1, KvMul: 2, Hidden: 6, Layers: 2, Vocab: 5, SeqLen: 7, Shared: false, GroupChoice: 0, Palette.Normal, Seed: 3);
        Steps steps = [];
        using MemoryStream stream = new();
        CheckpointWriter.Write(stream, shape.Header, shape.CreateWeights(), steps);
        TensorSpec[] tensors = [.. shape.Header.Tensors().SelectMany(tensor => Enumerable.Repeat(tensor, tensor.Count))];
        Assert.Equal(tensors.Length, steps.Count);
        Assert.Equal(tensors.Select(tensor => tensor.Bytes), steps.Zip(steps.Prepend(shape.Header.Bytes), (after, before) => after - before));
        Assert.Equal(stream.Length, steps[^1]);
    }

    [Fact]
    public void A_tensor_that_no_model_has_is_an_error()
    {
        Weights weights = new ModelShape(1, 1, 1, 1, 1, 1, 3, 1, Shared: true, 0, Palette.Normal, Seed: 1).CreateWeights();
        Assert.Null(weights.Matrix("w4"));
        Assert.Throws<ArgumentOutOfRangeException>(() => weights.Vector("w4"));
    }
}
