using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Bench;

/// <summary>A transformer to measure, and the weights that it runs.</summary>
internal sealed record Candidate(string Name, int Threads, Weights Weights, ITransformer Transformer);

/// <summary>A model to measure: a file, or a temporary one of random weights; as it is and, if that is float32, also as int8.</summary>
internal sealed class ModelUnderTest : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-bench-").FullName;
    private readonly List<Candidate> _candidates = [];
    private readonly ModelSource _source;
    private readonly ModelFile? _file;
    private readonly bool _isRandom;

    /// <param name="text">A path, the name of a model, null for the one that ships, or a shape.</param>
    public ModelUnderTest(string? text, bool isShape, CancellationToken cancellation)
    {
        _isRandom = isShape;
        try
        {
            _source = isShape
                ? new ModelSource(Make("model.bin", stream => Shape.Parse(text!).Write(stream, cancellation)))
                : ModelFiles.RequireCheckpoint(text);
            _file = Input.Wait(_source.Open, cancellation); // a named pipe waits for its writer
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public Config Config => _file!.Config;
    public long Parameters => _file!.Weights.Named().Sum(named => named.Tensor.Elements);

    /// <summary>simple on one thread; fast for each kind of weights and number of threads, with one kernel or with all.</summary>
    public IEnumerable<Candidate> Candidates(IReadOnlyList<int> threads, bool eachKernel)
    {
        Weights own = _file!.Weights;
        (string Suffix, Weights Weights)[] kinds = own.AreFloat32
            ? [("", own), (" int8", FiniteWeights.Int8(_file))]
            : [(own.Classifier is Q8GroupsTensor ? " int8" : " " + own.DescribeTypes().Split(',')[0], own)];
        _candidates.Add(new("simple" + kinds[0].Suffix, 1, own, new Transformer(Config, own)));
        _candidates.AddRange(
            from kind in kinds
            from count in threads
            from kernel in eachKernel ? FastTransformer.KernelNames : Enumerable.Repeat<string?>(null, 1)
            let fast = new FastTransformer(Config, kind.Weights, count, kernel)
            select new Candidate($"fast{kind.Suffix} {kernel}".TrimEnd(), count, kind.Weights, fast));
        return _candidates;
    }

    /// <summary>The path of the model for peers.</summary>
    public string ModelPath() => FileOf(_source);

    /// <summary>The path of a tokenizer for peers.</summary>
    /// <exception cref="ModelFileException">There is none for this file.</exception>
    public string TokenizerPath() =>
        _isRandom ? Make("tokenizer.bin", stream => stream.Write(Shape.Tokenizer(Config.VocabSize)))
            : FileOf(ModelFiles.FindTokenizer(_source));

    /// <summary>The path of the model as a GGUF file of float32 for peers, or of int8 where its weights are; with its tokenizer.</summary>
    /// <exception cref="ModelFileException">There is no tokenizer for this file.</exception>
    public string GgufPath()
    {
        if (_file is GgufModel)
            return ModelPath();
        string type = _file!.Weights.AreFloat32 ? "f32" : "q8_0";
        Tokenizer tokenizer = TokenizerFile.Open(TokenizerPath());
        return Make("model.gguf", stream => GgufModelWriter.Create(_source.Name, Config, _file.Weights, tokenizer, type).Write(stream));
    }

    /// <summary>The path of a file, which is written for what is inside the program.</summary>
    private string FileOf(ModelSource source)
    {
        if (source.Resource is null)
            return Path.GetFullPath(source.Path);
        using MappedFile file = source.Map();
        return Make(source.Resource, stream => stream.Write(file.Slice<byte>(0, (int)file.Length).Span));
    }

    private string Make(string name, Action<Stream> write)
    {
        string path = Path.Combine(_folder, name);
        AtomicFile.Write(path, write);
        return path;
    }

    public void Dispose()
    {
        _candidates.ForEach(candidate => candidate.Transformer.Dispose());
        _file?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
