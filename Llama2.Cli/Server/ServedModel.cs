using System.Text;
using Llama2.Simple;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>What clients are told of a model's file.</summary>
/// <param name="Bytes">Its size.</param>
/// <param name="Modified">When it was last written.</param>
/// <param name="Format">Its format and version.</param>
/// <param name="Types">The types of its matrices.</param>
/// <param name="Parameters">How many there are.</param>
internal sealed record ModelFacts(long Bytes, DateTime Modified, string Format, string Types, long Parameters);

/// <summary>What the server needs to know of a model to understand a request.</summary>
/// <param name="Name">The id that clients see.</param>
/// <param name="Config">Its shape.</param>
/// <param name="Template">How a conversation becomes a prompt.</param>
/// <param name="CreateSampler">A sampler of a temperature, a top-p and a seed.</param>
/// <param name="MaxTexts">Texts that one request may ask for.</param>
internal sealed record ServedModel(
    string Name, Config Config, ITokenizer Tokenizer, ChatTemplate Template, Func<float, float, ulong, ISampler> CreateSampler,
    int MaxTexts)
{
    private readonly Lazy<int> _longestPiece = new(() => Enumerable.Range(0, Tokenizer.VocabSize).Max(id => Tokenizer.Piece(id).Length));

    /// <summary>What a list of models says of its file.</summary>
    public ModelFacts Facts { get; init; } = new(0, default, "", "", 0);

    public RequestLimits Limits { get; init; } = new();

    public long Created { get; } = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    /// <summary>The tokens of a text that goes on with nothing, BOS first.</summary>
    /// <exception cref="ApiException">It is so long that it cannot fit in the context, which is found before it is encoded.</exception>
    public int[] Encode(string text)
    {
        CheckLength(text);
        return Checked(Tokenizer.Encode(text));
    }

    public void CheckLength(string text)
    {
        int bytes = Encoding.UTF8.GetByteCount(text);
        if (bytes / _longestPiece.Value > Config.SeqLen)
            throw TooLong($"at least {bytes / _longestPiece.Value}");
    }

    /// <summary>The same tokens, if they fit in the context and leave room for one more; nothing is ever cut off.</summary>
    public int[] Checked(int[] tokens)
    {
        CheckCount(tokens.Length);
        return tokens;
    }

    public void CheckCount(int tokens)
    {
        if (tokens > Config.SeqLen)
            throw TooLong($"{tokens}");
    }

    /// <summary>The tokens that fit behind a prompt where a field of the request makes the context smaller.</summary>
    public int Room(Fields fields, string name, int[] prompt)
    {
        int context = (int)(fields.Whole(name, 1, int.MaxValue) ?? int.MaxValue);
        return prompt.Length <= context ? context - prompt.Length : throw TooLong($"{prompt.Length}", $"{name} is {context}");
    }

    private ApiException TooLong(string tokens, string? limit = null) => ApiException.Invalid(
        $"the prompt has {tokens} tokens, and {limit ?? $"the context of this model holds {Config.SeqLen}"}",
        code: "context_length_exceeded");
}
