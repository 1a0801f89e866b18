using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Models;

/// <summary>A checkpoint, its tokenizer and the implementation that runs it.</summary>
internal sealed class LoadedModel : IDisposable
{
    private const string Simple = "simple";
    private readonly Checkpoint _checkpoint;

    /// <param name="tokenizer">The tokenizer's file, or null to look for it.</param>
    /// <param name="threads">Threads of fast, or 0 for its default.</param>
    /// <param name="quantize">Whether to make int8 of a float32 checkpoint.</param>
    public LoadedModel(string path, string? tokenizer, string implementation, int threads, bool quantize)
    {
        (Path, Implementation) = (path, implementation);
        _checkpoint = Checkpoint.Open(path);
        try
        {
            Tokenizer simple = ModelFiles.OpenTokenizer(tokenizer, path, Config.VocabSize);
            Tokenizer = implementation == Simple ? simple : new FastTokenizer(simple);
            Weights = quantize && _checkpoint.Weights.Classifier is Float32Tensor
                ? WeightQuantizer.Quantize(_checkpoint.Weights, WeightQuantizer.GroupSizeFor(Config), threads)
                : _checkpoint.Weights;
            Transformer = implementation == Simple ? new Transformer(Config, Weights) : new FastTransformer(Config, Weights, threads);
        }
        catch (Exception e)
        {
            using Checkpoint checkpoint = _checkpoint;
            if (e is NotFiniteNumberException)
                FiniteWeights.Check(checkpoint, CancellationToken.None); // which says where the number is
            throw;
        }
    }

    /// <summary>Each is a transformer, a tokenizer and a sampler; the first is the default.</summary>
    public static readonly string[] Implementations = ["fast", Simple];

    public string Path { get; }
    public string Implementation { get; }
    public Config Config => _checkpoint.Config;
    public ITokenizer Tokenizer { get; }
    public Weights Weights { get; } // that run; with quantize they are int8 copies of the file's
    public ITransformer Transformer { get; }

    public ISampler CreateSampler(float temperature, float topp, ulong seed) => Implementation == Simple
        ? new Sampler(Config.VocabSize, temperature, topp, seed)
        : new FastSampler(Config.VocabSize, temperature, topp, seed);

    /// <summary>The model in one line.</summary>
    public string Describe() =>
        $"{System.IO.Path.GetFileName(Path).ReplaceLineEndings(" ")}: dim {Config.Dim}, hidden {Config.HiddenDim}, "
        + $"layers {Config.LayerCount}, heads {Config.HeadCount}, kv heads {Config.KvHeadCount}, "
        + $"vocab {Config.VocabSize}, context {Config.SeqLen}, "
        + $"v{_checkpoint.Header.Version} {_checkpoint.Weights.Classifier.Describe()}, {Implementation}";

    public void Dispose()
    {
        Transformer.Dispose();
        _checkpoint.Dispose();
    }
}
