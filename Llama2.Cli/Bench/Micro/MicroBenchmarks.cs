using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Running;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Fast.Kernels;
using Llama2.Fast.Pass;
using Llama2.Fast.Threads;
using Llama2.Simple;
using Llama2.Simple.Tensors;
using Llama2.Simple.Text;

namespace Llama2.Cli.Bench.Micro;

/// <summary>Measures single operations with BenchmarkDotNet, on one thread and at the shapes of stories110M.</summary>
internal static class MicroBenchmarks
{
    public static int Run(string filter, bool quick)
    {
        // In this process: BenchmarkDotNet builds another one only if the project and its assembly have the same name.
        string[] args = ["--filter", $"*{filter}*", "--inProcess", "--job", quick ? "short" : "default"];
        var summaries = BenchmarkSwitcher.FromAssembly(typeof(MicroBenchmarks).Assembly).Run(args);
        return summaries.Any(summary => summary.Reports.Any(report => report.Success))
            ? ExitCode.Success
            : throw new UsageException($"--micro {filter}: nothing was measured; BenchmarkDotNet's lines say why");
    }
}

public abstract class KernelBenchmark
{
    protected const int Dim = 768, Hidden = 2048, Group = 64;

    [ParamsSource(nameof(Kernels))] public string Kernel { get; set; } = "";
    public static IEnumerable<string> Kernels => FastTransformer.KernelNames;
    private protected Kernel Operations => field ??= Fast.Kernels.Kernel.Find(Kernel);
    private protected NativeBuffer<float> Scratch { get; } = new();

    private protected static float[] Floats(int count) => [.. Enumerable.Range(0, count).Select(i => (i * 7919L % 256 - 128) / 256f)];

    private protected static Activations Rows(int rows, int length)
    {
        Activations activations = new(length, Group);
        activations.EnsureRows(rows);
        for (int row = 0; row < rows; row++)
            Floats(length).CopyTo(activations.Row(row));
        return activations;
    }
}

/// <summary>A matrix times one token, as in decode, or a prompt.</summary>
public unsafe class MatMul : KernelBenchmark
{
    private readonly Matrix _float32 = new(new Float32Tensor(Hidden, Dim, Floats(Hidden * Dim)), []);
    private readonly Matrix _int8 = new(
        new Q8GroupsTensor(Hidden, Dim, Group, new sbyte[Hidden * Dim], new float[Hidden * Dim / Group]), []);
    private readonly Activations _x = Rows(48, Dim), _out = Rows(48, Hidden);

    [Params(1, 48)] public int Tokens { get; set; }

    [Benchmark] public void MatMulFloat32() => Multiply(_float32);
    [Benchmark] public void MatMulInt8() => Multiply(_int8);

    private void Multiply(in Matrix w) => Operations.Multiply(w, 0, Hidden, _x.Rows(0, Tokens), _out[0], _out.Stride, add: false, Scratch);
}

/// <summary>The operations between the matrices of a layer.</summary>
public unsafe class Layer : KernelBenchmark
{
    private const int HeadSize = 64, Positions = 1024;
    private readonly Activations _x = Rows(1, Dim), _weight = Rows(1, Dim), _out = Rows(1, Dim), _scores = Rows(1, Positions);
    private readonly Activations _keys = Rows(Positions, HeadSize), _values = Rows(Positions, HeadSize);
    private readonly Activations _hb = Rows(1, Hidden), _hb2 = Rows(1, Hidden); // what SwiGlu, in place, takes to zeros in a few calls

    [Benchmark] public void RmsNorm() => Operations.RmsNorm(_out[0], _x[0], _weight[0], Dim, 1e-5f);
    [Benchmark] public void SwiGlu() => Operations.SwiGlu(_hb[0], _hb2[0], Hidden);
    [Benchmark] public void Softmax() => Operations.Softmax(_scores[0], Positions, temperature: 1);
    [Benchmark] public void Quantize() => Operations.Quantize(_x[0], Dim, _x.Int8!, 0);

    [Benchmark]
    public void AttentionOfOneHead()
    {
        Heads shape = new() { Tokens = 1, Position = Positions - 1, KvDim = HeadSize, KvHeads = 1, HeadSize = HeadSize, KvMul = 1 };
        Operations.Attend(shape with { Q = _x[0], O = _out[0], Keys = _keys[0], Values = _values[0] }, Scratch);
    }
}

/// <summary>From text to tokens, and from logits to a token.</summary>
public class Text
{
    private readonly ITokenizer _tokenizer = FastTokenizer.Of(ModelFiles.OpenTokenizer(null));
    private readonly FastSampler _sampler = new(32000, temperature: 1, topp: 0.9f, seed: 1);
    private readonly float[] _logits = [.. Enumerable.Range(0, 32000).Select(i => i * 7919 % 32000 / 3200f)], _copy = new float[32000];

    [Benchmark] public int[] Encode() => _tokenizer.Encode("Once upon a time, there was a little girl who liked to play outside.");

    [Benchmark]
    public int SampleTopP()
    {
        _logits.CopyTo(_copy, 0);
        return _sampler.Sample(_copy);
    }
}
