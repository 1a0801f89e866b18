using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Generation;
using Llama2.Simple.Tensors;
using Llama2.Simple.Text;

namespace Llama2.Cli.Models;

/// <summary>A model's file, its tokenizer and the implementation that runs it.</summary>
internal sealed class LoadedModel : IDisposable
{
    public const string Simple = "simple";

    private const string Int8 = "q8_0"; // of a float32 model in llama2.c's groups, as quantize writes it

    /// <param name="source">The model's file.</param>
    /// <param name="tokenizer">The tokenizer's file, or null for the one in the model's file, or else to look for it.</param>
    /// <param name="threads">Threads of fast, or 0 for its default.</param>
    /// <param name="quantize">One of <see cref="QuantizedTypes"/> to make of a model of floats, or null.</param>
    public LoadedModel(ModelSource source, string? tokenizer, string implementation, int threads, string? quantize)
    {
        (Source, Implementation) = (source, implementation);
        File = source.Open();
        try
        {
            ITokenizer? own = tokenizer is null ? File.Tokenizer : null;
            ITokenizer simple = own ?? ModelFiles.OpenTokenizer(tokenizer, source, Config.VocabSize);
            Tokenizer = implementation == Simple ? simple : FastTokenizer.Of(simple);
            Weights = quantize is null || !File.Weights.AreFloats ? File.Weights
                : quantize == Int8 && File.Weights.AreFloat32 ? FiniteWeights.Int8(File, threads)
                : FiniteWeights.Of(File, TypeMix.Find(quantize), threads);
            CopyForDrafts = new Lazy<ITransformer>(() => new FastTransformer(Config,
                WeightQuantizer.CopyForDrafts(Weights, WeightQuantizer.GroupSizeFor(Config), threads), threads));
            Transformer = new GuardedTransformer(
                implementation == Simple ? new Transformer(Config, Weights) : new FastTransformer(Config, Weights, threads), File);
        }
        catch
        {
            File.Dispose();
            throw;
        }
    }

    /// <summary>Each is a transformer, a tokenizer and a sampler; the first is the default.</summary>
    public static readonly string[] Implementations = ["fast", Simple];

    /// <summary>What a model of floats can be made as it is loaded.</summary>
    public static readonly string[] QuantizedTypes = [Int8, "q4_0"];

    public ModelSource Source { get; }
    public string Implementation { get; }
    public ModelFile File { get; }
    public Config Config => File.Config;
    public ITokenizer Tokenizer { get; }
    public Weights Weights { get; } // that run; with quantize they are copies of the file's
    public ITransformer Transformer { get; }
    public Lazy<ITransformer> CopyForDrafts { get; } // in int8; the weights must be float32

    public ISampler CreateSampler(float temperature, float topp, ulong seed) => Implementation == Simple
        ? new Sampler(Config.VocabSize, temperature, topp, seed)
        : new FastSampler(Config.VocabSize, temperature, topp, seed);

    public LogitFilter TopK(int k) => Implementation == Simple ? LogitFilters.TopK(k) : FastLogitFilters.TopK(k);
    public LogitFilter MinP(float p) => Implementation == Simple ? LogitFilters.MinP(p) : FastLogitFilters.MinP(p);

    /// <summary>
    /// Whether a token ends a text that is not a conversation: BOS with llama2.c's models of stories, as in run.c; in other formats any
    /// token that the file says ends one.
    /// </summary>
    public bool EndsText(int token) => File is Checkpoint ? token == Tokenizer.Bos : Tokenizer.IsEnd(token);

    /// <summary>The chat template of that name, or of null that of the model's file, or else the first one.</summary>
    /// <exception cref="UsageException">No template that is known does what the file's own does.</exception>
    public ChatTemplate Template(string? name)
    {
        // the file's own may differ from the known one of its name, in what it trims or says where there is no system prompt
        ChatTemplate? own = File.ChatTemplate is { } jinja ? ChatTemplateRecognition.Recognise(jinja) : null;
        UsageException.ThrowIf(name is null && own is null && File.ChatTemplate is not null,
            $"{Source.Path}: its chat template is none of those that are known; --template NAME chooses one: "
            + string.Join(", ", ChatTemplates.All.Select(known => known.Name)));
        name ??= own?.Name ?? ChatTemplates.All[0].Name;
        return own?.Name == name ? own : ChatTemplates.Named(name);
    }

    /// <summary>The model in one line.</summary>
    public string Describe() =>
        $"{Path.GetFileName(Source.Path).Replace('\n', ' ')}: dim {Config.Dim}, hidden {Config.HiddenDim}, "
        + $"layers {Config.LayerCount}, heads {Config.HeadCount}, kv heads {Config.KvHeadCount}, "
        + $"vocab {Config.VocabSize}, context {Config.SeqLen}{(File is GgufModel { SlidingWindow: not null } ? " (its window)" : "")}, "
        + $"{File.Format} {File.Weights.DescribeTypes()}, {Implementation}";

    public void Dispose()
    {
        Transformer.Dispose();
        if (CopyForDrafts.IsValueCreated)
            CopyForDrafts.Value.Dispose();
        File.Dispose();
    }
}
