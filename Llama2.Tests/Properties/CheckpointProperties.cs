using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Llama2.Tests.Properties;

/// <summary>What holds for checkpoints of any version, shape and contents.</summary>
public sealed class CheckpointProperties
{
    private static readonly Gen<ModelShape> Any = ModelShape.Generator(Palettes.All);

    [Property]
    public FsCheck.Property A_file_read_and_written_is_the_same_file() => Property.ForAll(Any, x => x.Shrink(), x =>
    {
        byte[] file = x.CreateFile();
        new Random(x.Seed).NextBytes(file.AsSpan(x.Header.Bytes)); // whatever the bits: NaN, int8 -128, tables that nobody uses
        using TemporaryFile temporary = new(file);
        using Checkpoint checkpoint = Checkpoint.Open(temporary.Path);
        Assert.Equal(x.Header, checkpoint.Header);
        Assert.Equal(file.Length, x.Header.FileLength);
        using MemoryStream copy = new();
        CheckpointWriter.Write(copy, checkpoint.Header, checkpoint.Weights, checkpoint.RopeTables());
        Assert.True(file.AsSpan().SequenceEqual(copy.ToArray()), "the copy differs");
    });

    [Property]
    public FsCheck.Property A_model_read_from_a_file_has_the_weights_that_were_written() => Property.ForAll(Any, x => x.Shrink(), x =>
    {
        Weights expected = x.CreateWeights();
        using TemporaryFile temporary = new(x.CreateFile());
        using Checkpoint checkpoint = Checkpoint.Open(temporary.Path);
        Weights actual = checkpoint.Weights;
        Assert.Equal(expected.IsClassifierShared, actual.IsClassifierShared);
        AssertSame(Tensors(expected), Tensors(actual));
        Bits.AssertEqual(expected.RmsFinal.Span, actual.RmsFinal.Span);
        foreach ((LayerWeights e, LayerWeights a) in expected.Layers.Zip(actual.Layers))
        {
            Bits.AssertEqual(e.RmsAtt.Span, a.RmsAtt.Span);
            Bits.AssertEqual(e.RmsFfn.Span, a.RmsFfn.Span);
        }
    });

    [Property(MaxTest = 50)]
    public FsCheck.Property Exports_of_one_model_hold_the_same_weights() =>
        Property.ForAll(ModelShape.Generator([Palette.Normal, Palette.Outlier, Palette.Denormal]), x => x.Shrink(), x =>
    {
        // float32 to int8, written piece by piece, is what quantising whole tensors gives
        ModelShape float32 = x with { Version = 1 }, int8 = x with { Version = 2 };
        using MemoryStream exported = new();
        CheckpointWriter.Write(exported, int8.Header, float32.CreateWeights());
        Assert.True(int8.CreateFile().AsSpan().SequenceEqual(exported.ToArray()), "the int8 export differs");

        // and float32 files of what an int8 file holds are its dequantised weights
        using TemporaryFile temporary = new(exported.ToArray());
        using Checkpoint checkpoint = Checkpoint.Open(temporary.Path);
        using MemoryStream back = new();
        CheckpointWriter.Write(back, float32.Header, checkpoint.Weights);
        using TemporaryFile dequantised = new(back.ToArray());
        using Checkpoint floats = Checkpoint.Open(dequantised.Path);
        AssertSame(Tensors(checkpoint.Weights), Tensors(floats.Weights));
    });

    /// <summary>Rows of all matrices as floats.</summary>
    private static void AssertSame(IEnumerable<Tensor> expected, IEnumerable<Tensor> actual)
    {
        foreach ((Tensor e, Tensor a) in expected.Zip(actual))
        {
            Assert.Equal((e.Rows, e.Columns), (a.Rows, a.Columns));
            float[] x = new float[e.Columns], y = new float[e.Columns];
            for (int row = 0; row < e.Rows; row++)
            {
                e.CopyRow(row, x);
                a.CopyRow(row, y);
                Bits.AssertEqual(x, y);
            }
        }
    }

    private static IEnumerable<Tensor> Tensors(Weights w) =>
        [w.TokenEmbedding, w.Classifier, .. w.Layers.SelectMany(l => new[] { l.Wq, l.Wk, l.Wv, l.Wo, l.W1, l.W2, l.W3 })];
}
