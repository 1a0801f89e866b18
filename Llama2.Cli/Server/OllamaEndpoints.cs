using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Llama2.Cli.Server;

/// <summary>Ollama's API for its clients: answers, embeddings, and what it says about the one model that there is.</summary>
internal static class OllamaEndpoints
{
    private const string ApiVersion = "0.12.11"; // of Ollama, whose API this is; clients that need a later one say so

    public static Task GenerateAsync(Call call, Fields fields) => AnswerAsync(call, fields, OllamaRequest.Generate, isChat: false);

    public static Task ChatAsync(Call call, Fields fields) => AnswerAsync(call, fields, OllamaRequest.Chat, isChat: true);

    private static Task AnswerAsync(Call call, Fields fields, Func<Fields, ServedModel, string, TextRequest?> read, bool isChat)
    {
        string name = OllamaRequest.ModelName(fields, call.Model);
        TextRequest? request = read(fields, call.Model, call.User);
        OllamaFormat format = new(call.Model, name, isChat, request?.HasLogProbs == true);
        return request is null ? call.WriteJsonAsync(format.Loaded()) : TextEndpoints.AnswerAsync(call, request, format);
    }

    public static async Task EmbedAsync(Call call, Fields fields)
    {
        string name = OllamaRequest.ModelName(fields, call.Model);
        float[][] vectors = await TokenEndpoints.EmbedAsync(call, fields, "input");
        await call.WriteJsonAsync(ApiJson.Bytes(
            new OllamaEmbeddings(name, vectors, (long)call.Elapsed.TotalNanoseconds, 0, call.EmbeddedTokens)));
    }

    /// <summary>The older one, of one text.</summary>
    public static async Task EmbeddingsAsync(Call call, Fields fields)
    {
        OllamaRequest.ModelName(fields, call.Model);
        float[][] vectors = await TokenEndpoints.EmbedAsync(call, fields, "prompt");
        await call.WriteJsonAsync(ApiJson.Bytes(new OllamaEmbedding(vectors[0])));
    }

    public static Task VersionAsync(Call call) => call.WriteJsonAsync(ApiJson.Bytes(new ServerVersion(ApiVersion)));

    public static Task TagsAsync(Call call) => call.WriteJsonAsync(ApiJson.SparseBytes(new OllamaModels(
        [Entry(call.Model) with { ModifiedAt = call.Model.Facts.Modified }])));

    /// <summary>The models that are loaded: it stays so.</summary>
    public static Task RunningAsync(Call call) => call.WriteJsonAsync(ApiJson.SparseBytes(new OllamaModels([Entry(call.Model) with
    {
        ExpiresAt = DateTime.SpecifyKind(DateTime.MaxValue, DateTimeKind.Utc),
        SizeVram = 0,
        ContextLength = call.Model.Config.SeqLen,
    }])));

    public static Task ShowAsync(Call call, Fields fields)
    {
        OllamaRequest.ModelName(fields, call.Model);
        ServedModel model = call.Model;
        OllamaModelInfo info = new("llama", model.Facts.Parameters, model.Config.SeqLen, model.Config.Dim, model.Config.LayerCount,
            model.Config.HiddenDim, model.Config.HeadCount, model.Config.KvHeadCount, model.Config.VocabSize);
        return call.WriteJsonAsync(ApiJson.Bytes(
            new OllamaShow(model.Template.Name, model.Facts.Modified, Details(model), info, ["completion", "embedding"])));
    }

    private static OllamaModel Entry(ServedModel model)
    {
        string name = OllamaRequest.Tagged(model);
        string identity = $"{name}\n{model.Facts.Bytes}\n{model.Facts.Modified.Ticks}";
        string digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity))); // Ollama's is not the file's either
        return new(name, name, null, model.Facts.Bytes, digest, Details(model), null, null, null);
    }

    private static OllamaDetails Details(ServedModel model)
    {
        (double unit, string letter) = model.Facts.Parameters >= 1_000_000_000 ? (1e9, "B") : (1e6, "M");
        string size = string.Create(CultureInfo.InvariantCulture, $"{model.Facts.Parameters / unit:F1}{letter}");
        return new("", model.Facts.Format.Split(' ')[0].ToLowerInvariant(), "llama", ["llama"], size, model.Facts.Types);
    }
}
