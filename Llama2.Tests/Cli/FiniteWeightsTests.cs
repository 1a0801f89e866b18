using System.Buffers.Binary;
using Llama2.Cli.Models;

namespace Llama2.Tests.Cli;

/// <summary>A weight that is no number, or that a type does not hold, is named wherever it would be lost in a maximum or a sum.</summary>
public sealed class FiniteWeightsTests : FolderTests
{
    private const int Weight = 28 + 4 * (512 * 96 + 6 * 96 + 3 * 96 * 96 + 2 * 96 + 1); // wq of layer 3, row 2, column 1
    private const string Place = "in row 2, column 1";

    private string ModelWith(float value)
    {
        string path = At("model.bin");
        byte[] bytes = File.ReadAllBytes(Repository.Weights("tales659K.bin"));
        BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(Weight), value);
        File.WriteAllBytes(path, bytes);
        File.Copy(Repository.Weights("tok512-tales.bin"), At("tokenizer.bin"), overwrite: true);
        return path;
    }

    [Theory]
    [InlineData("f16", 70_000)]
    [InlineData("q8_0", 1e7f)]
    [InlineData("q4_0", -6e5f)]
    [InlineData("q4_k_m", 3.3e38f)]
    [InlineData("bf16", float.MaxValue)]
    public void A_number_that_a_type_does_not_hold_is_refused_before_anything_is_written(string type, float value)
    {
        string model = ModelWith(value), output = At("out.gguf");
        File.WriteAllText(output, "old");
        BuiltProgram run = BuiltProgram.Run("convert", model, output, "--type", type);
        string held = type == "q4_k_m" ? "q8_0" : type; // whose blocks of 256 do not fit rows of 96
        string advice = type == "bf16" ? "f32 holds it" : "bf16 and f32 hold it";
        Assert.Equal((2, "", $"llama2: {model}: wq, layer 3: expected numbers that {held} holds, found {value} {Place}; {advice}\n"),
            (run.ExitCode, run.Out, run.Err));
        Assert.Equal("old", File.ReadAllText(output));
        Assert.Equal(0, BuiltProgram.Run("convert", model, output, "--type", "f32").ExitCode);
    }

    [Fact]
    public void What_is_quantised_at_load_is_held_or_refused()
    {
        string[] args = [ModelWith(6e5f), "-n", "5", "-t", "0", "--silent", "--quantize"];
        Assert.Equal((2, "", $"llama2: {args[0]}: wq, layer 3: expected numbers that q4_0 holds, found 600000 {Place}; "
            + "bf16 and f32 hold it\n"), Run("q4_0"));
        Assert.Equal((0, ""), (Run("q8_0").Code, Run("q8_0").Err)); // in llama2.c's groups, whose scales are float32

        (int Code, string Out, string Err) Run(string type)
        {
            BuiltProgram run = BuiltProgram.Run([.. args, type]);
            return (run.ExitCode, run.Out, run.Err);
        }
    }

    [Theory]
    [InlineData(float.NaN, "verify", "MODEL")]
    [InlineData(float.NegativeInfinity, "bench", "--quick", "--threads", "1", "-n", "4", "MODEL")]
    [InlineData(float.NaN, "perplexity", "MODEL", "-")]
    [InlineData(float.NaN, "serve", "--port", "0", "MODEL")]
    [InlineData(float.PositiveInfinity, "serve", "--port", "0", "--speculate", "self", "MODEL")]
    public void A_command_whose_result_would_mean_nothing_refuses_it(float value, params string[] args)
    {
        string model = ModelWith(value);
        BuiltProgram.Setup text = new() { Input = "Tom" };
        BuiltProgram run = BuiltProgram.Run(text, [.. args.Select(arg => arg == "MODEL" ? model : arg)]);
        Assert.Equal((2, ""), (run.ExitCode, run.Out));
        Assert.EndsWith($"llama2: {model}: wq, layer 3: expected finite numbers, found {value} {Place}", run.Err.TrimEnd('\n'),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(12)]
    public void Perplexity_refuses_a_scale_that_is_no_number(int tensor)
    {
        byte[] bytes = File.ReadAllBytes(Repository.Golden("tales659K_q80.bin"));
        const int Norms = 4 * 13 * 96, Table = 512 * 96, Wq = 96 * 96;
        int scale = 256 + Norms + (tensor == 0 ? Table : Table + Table / 32 * 4 + (tensor - 1) % 6 * (Wq + Wq / 32 * 4) + Wq);
        BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(scale), float.NaN);
        string model = At("q.bin");
        File.WriteAllBytes(model, bytes);
        BuiltProgram run = BuiltProgram.Run(new BuiltProgram.Setup { Input = "Tom" }, "perplexity", model, "-", "-z",
            Repository.Weights("tok512-tales.bin"));
        Assert.Equal((2, ""), (run.ExitCode, run.Out));
        Assert.Contains("expected finite numbers, found NaN in row 0, column 0", run.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("-n", "40", "-t", "0")]
    [InlineData("-n", "40", "-s", "1", "-p", "1")]
    [InlineData("--batch", "BATCH", "-n", "20")]
    [InlineData("chat", "--template", "plain", "-i", "Tom", "-n", "20")]
    [InlineData("-m", "chat", "-y", "", "-i", "Tom", "-n", "40")]
    public void A_text_of_one_token_again_and_again_is_explained(params string[] args)
    {
        string batch = At("batch");
        File.WriteAllText(batch, "{\"prompt\": \"Tom\"}");
        string[] all = [.. args.Select(arg => arg == "BATCH" ? batch : arg), ModelWith(float.NaN)];
        BuiltProgram run = BuiltProgram.Run(all), self = BuiltProgram.Run([.. all, "--speculate", "self"]);
        Assert.Equal(0, run.ExitCode);
        Assert.Contains("<unk><unk><unk>", run.Out, StringComparison.Ordinal); // as run.c's maximum over NaN
        Assert.Contains($"\nllama2: {all[^1]}: wq, layer 3: expected finite numbers, found NaN {Place}: the text means nothing\n",
            run.Err, StringComparison.Ordinal);
        Assert.Equal((0, run.Out), (self.ExitCode, self.Out)); // drafts come from a copy in which such a matrix is not copied
        Assert.DoesNotContain("means nothing", BuiltProgram.Run([.. all[..^1], Repository.Weights("tales659K.bin")]).Err,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void An_error_that_is_no_number_is_the_largest(float bad)
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
        Weights weights = checkpoint.Weights, broken = weights.Map((name, layer) => weights[name, layer] is Float32Tensor tensor
            && (name, layer) == ("wk", 2)
            ? new Float32Tensor(tensor.Rows, tensor.Columns, Repeated(bad, tensor.Data.Length)) : weights[name, layer]);
        (float error, string tensor) = CopyAccuracy.Largest(weights, broken, CancellationToken.None);
        Assert.Equal((MathF.Abs(bad), "wk, layer 2"), (error, tensor));

        static float[] Repeated(float value, int count) => [.. Enumerable.Repeat(value, count)];
    }
}
