using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Llama2C;

namespace Llama2.Cli.Models;

/// <summary>A model that has a name, or another file beside it: a tokenizer, or what is left of a download.</summary>
/// <param name="Source">Its file, of a split model the first one.</param>
/// <param name="Where">The folder, or what else it is in.</param>
/// <param name="Bytes">Of its file, of a split model all of them.</param>
/// <param name="Type">Its format and the types of its tensors, or what else the file is.</param>
/// <param name="Config">The shape of a model; null for other files.</param>
/// <param name="VocabSize">Of a model or a tokenizer.</param>
internal sealed record ListedModel(ModelSource Source, string Where, long Bytes, string Type, Config? Config = null, int? VocabSize = null)
{
    public string Name => ModelFiles.NameOf(Source.Resource ?? Source.Path);

    /// <summary>What is in weights/, in the user's folder and inside the program.</summary>
    public static IEnumerable<ListedModel> All() =>
        [.. ModelFiles.Folders.DistinctBy(Path.GetFullPath).SelectMany(In), Read(ModelSource.Shipped, "the program")];

    /// <summary>What is in a folder, in the order of the names.</summary>
    public static IEnumerable<ListedModel> In(string folder) =>
        from path in Directory.Exists(folder) ? Directory.GetFiles(folder).Order(StringComparer.Ordinal) : Enumerable.Empty<string>()
        let isUnfinished = path.EndsWith(Download.PartEnding, StringComparison.Ordinal)
        where (isUnfinished || ModelFiles.HasEnding(path)) && !SplitModel.IsLaterPart(path)
        where !IsDevice(path) // opening a pipe would wait for who writes it
        let source = new ModelSource(path)
        select isUnfinished ? new(source, folder, LengthOf(path), "unfinished download") : Read(source, folder);

    private static ListedModel Read(ModelSource source, string where)
    {
        try
        {
            using MappedFile file = source.Map();
            if (FileKind.Of(file.Slice<byte>(0, (int)Math.Min(file.Length, FileKind.StartBytes)).Span, file.Length) == FileKind.Tokenizer)
                return new(source, where, file.Length, "tokenizer", null, TokenizerFile.Open(file, source.Path).VocabSize);
            using ModelFile model = ModelFile.Open(file, source.Path);
            string type = $"{model.Format} {model.Weights.DescribeTypes()}";
            return new(source, where, model.Length, type, model.Config, model.Config.VocabSize);
        }
        catch (ModelFileException)
        {
            return new(source, where, LengthOf(source.Path), "no model"); // inspect says why
        }
    }

    private static bool IsDevice(string path)
    {
        try
        {
            return AtomicFile.IsDevice(path);
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            return false; // a loop of links, say: it has a name, and no model
        }
    }

    // 0 where a link leads nowhere
    private static long LengthOf(string path) => new FileInfo(path) is { Exists: true } file ? file.Length : 0;
}
