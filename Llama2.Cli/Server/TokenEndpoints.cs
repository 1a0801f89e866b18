using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;
using Llama2.Simple;
using Llama2.Simple.Text;

namespace Llama2.Cli.Server;

/// <summary>Texts to tokens, to prompts and to vectors, and back.</summary>
internal static class TokenEndpoints
{
    public static async Task EmbeddingsAsync(Call call, Fields fields)
    {
        string format = fields.Text("encoding_format") ?? "float";
        if (format is not ("float" or "base64"))
            throw ApiException.Invalid("encoding_format: expected float or base64", "encoding_format");
        float[][] vectors = await EmbedAsync(call, fields, "input");
        await call.WriteJsonAsync(format == "float"
            ? Json(vectors)
            : Json([.. vectors.Select(vector => Convert.ToBase64String(MemoryMarshal.AsBytes(vector.AsSpan())))]));

        byte[] Json<T>(T[] vectors) => ApiJson.Bytes(new EmbeddingList<T>("list",
            [.. vectors.Select((vector, i) => new EmbeddingEntry<T>("embedding", i, vector))], call.Model.Name,
            new(call.EmbeddedTokens, call.EmbeddedTokens)));
    }

    /// <summary>The vector of each text of a field: the mean of its tokens' states after the final norm, of length 1.</summary>
    public static async Task<float[][]> EmbedAsync(Call call, Fields fields, string name)
    {
        int[][] texts = TextRequest.Prompts(fields, name, call.Model);
        if (fields.Whole("dimensions", 1, int.MaxValue) is { } dimensions && dimensions != call.Model.Config.Dim)
            throw ApiException.Invalid($"dimensions: this model's vectors have {call.Model.Config.Dim}", "dimensions");
        using CancellationTokenSource cancel = call.CreateCancellation();
        float[][] vectors = await call.Engine.EmbedAsync(texts, cancel.Token);
        call.EmbeddedTokens = texts.Sum(tokens => tokens.Length);
        return vectors;
    }

    /// <summary>llama.cpp's: without add_special the tokens of a text that goes on from others.</summary>
    public static Task TokenizeAsync(Call call, Fields fields)
    {
        string content = fields.Required("content").Text();
        bool special = fields.Flag("add_special");
        int[] ids = call.Model.Tokenizer.Encode(content, bos: special, blank: special);
        return call.WriteJsonAsync(fields.Flag("with_pieces")
            ? ApiJson.Bytes(new TokenPieces([.. ids.Select(id => new TokenPiece(id, Piece(call.Model.Tokenizer.Decode(-1, id))))]))
            : ApiJson.Bytes(new TokenIds(ids)));
    }

    private static object Piece(ReadOnlySpan<byte> bytes) =>
        Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes) : TextFormat.Numbers(bytes);

    /// <summary>How many tokens the prompt of a conversation has.</summary>
    public static Task CountAsync(Call call, Fields fields) =>
        call.WriteJsonAsync(ApiJson.Bytes(new TokenCount(ChatPrompt.Encode(fields.Array("messages"), call.Model).Length)));

    public static Task DetokenizeAsync(Call call, Fields fields)
    {
        int last = call.Model.Config.VocabSize - 1;
        int[] ids = [.. fields.Required("tokens").Array().Select(token => (int)token.Whole(0, last))];
        return call.WriteJsonAsync(ApiJson.Bytes(new Detokenized(call.Model.Tokenizer.Decode(ids))));
    }

    /// <summary>The prompt that a conversation becomes, as text without BOS and EOS, and as tokens.</summary>
    public static Task ApplyTemplateAsync(Call call, Fields fields)
    {
        int[] ids = ChatPrompt.Encode(fields.Array("messages"), call.Model);
        ITokenizer tokenizer = call.Model.Tokenizer;
        TextStream text = new();
        StringBuilder prompt = new();
        for (int i = 0; i < ids.Length; i++)
            prompt.Append(tokenizer.IsEnd(ids[i]) ? "" : text.Append(tokenizer.Decode(i > 0 ? ids[i - 1] : -1, ids[i])));
        return call.WriteJsonAsync(ApiJson.Bytes(new AppliedTemplate(prompt.Append(text.Flush()).ToString(), ids)));
    }
}
