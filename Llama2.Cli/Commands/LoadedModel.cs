using System.CommandLine;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli.Commands;

/// <summary>A checkpoint, its tokenizer and what runs it, as the options name them.</summary>
internal sealed class LoadedModel : IDisposable
{
    public LoadedModel(GenerateOptions options, ParseResult result)
    {
        Path = options.FindCheckpoint(result);
        Checkpoint = Checkpoint.Open(Path);
        Tokenizer = ModelFiles.OpenTokenizer(result.GetValue(options.Tokenizer), Path, Config.VocabSize);
        Implementation = options.Implementations.NameIn(result);
        Weights = options.Implementations.WeightsOf(result, Checkpoint);
        Transformer = options.Implementations.Create(result, Config, Weights);
        if (!result.GetValue(options.Silent))
            Console.Error.WriteLine(Describe());
    }

    public string Path { get; }

    public Checkpoint Checkpoint { get; }

    public Config Config => Checkpoint.Config;

    public Tokenizer Tokenizer { get; }

    public string Implementation { get; }

    /// <summary>The weights that run, which need not be those of the file.</summary>
    public Weights Weights { get; }

    public ITransformer Transformer { get; }

    /// <summary>The model in one line.</summary>
    private string Describe()
    {
        string format = Checkpoint.Header.Version == 2 ? $"v2 int8 (group {Checkpoint.Header.GroupSize})" : $"v{Checkpoint.Header.Version} float32";
        return $"{System.IO.Path.GetFileName(Path)}: dim {Config.Dim}, hidden {Config.HiddenDim}, layers {Config.LayerCount}, heads {Config.HeadCount}, "
            + $"kv heads {Config.KvHeadCount}, vocab {Config.VocabSize}, context {Config.SeqLen}, {format}, {Implementation}";
    }

    public void Dispose()
    {
        Transformer.Dispose();
        Checkpoint.Dispose();
    }
}
