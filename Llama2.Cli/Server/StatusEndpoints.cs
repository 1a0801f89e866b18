using System.Text;
using Llama2.Fast.Engine;

namespace Llama2.Cli.Server;

/// <summary>What the server says about itself.</summary>
internal static class StatusEndpoints
{
    public static Task HealthAsync(Call call) =>
        call.Engine.Refusal is { } refusal ? throw refusal : call.WriteJsonAsync(ApiJson.Bytes(new StatusWord("ok")));

    public static Task VersionAsync(Call call) => call.WriteJsonAsync(ApiJson.Bytes(new ServerVersion(OpenAiFormat.Fingerprint)));

    public static Task MetricsAsync(Call call)
    {
        GenerationEngine? engine = call.Service.Engine;
        string text = call.Service.Metrics.Text(
            engine?.Statistics ?? new(), engine?.Options.Pods ?? 0, call.Service.Model?.Name ?? "");
        return call.WriteAsync("text/plain; version=0.0.4; charset=utf-8", Encoding.UTF8.GetBytes(text));
    }

    public static Task ModelsAsync(Call call) => call.WriteJsonAsync(ApiJson.Bytes(new ListOf<ModelEntry>("list", [Entry(call.Model)])));

    public static Task ModelAsync(Call call) => call.Name == call.Model.Name
        ? call.WriteJsonAsync(ApiJson.Bytes(Entry(call.Model)))
        : throw new ApiException(404, "not_found_error", "there is no model of this name", "model", "model_not_found");

    private static ModelEntry Entry(ServedModel model) => new(model.Name, "model", model.Created, "llama2", model.Config.SeqLen,
        new(model.Config.VocabSize, model.Config.SeqLen, model.Config.Dim, model.Config.LayerCount));

    public static Task PropsAsync(Call call)
    {
        int context = call.Model.Config.SeqLen;
        return call.WriteJsonAsync(ApiJson.Bytes(new Props(call.Model.Name, call.Model.Template.Name, call.Engine.Options.Pods,
            OpenAiFormat.Fingerprint, context, new(context, Temperature: 1, TopP: 1, TopK: 0, MinP: 0, RepeatPenalty: 1))));
    }

    /// <summary>The pods, under llama.cpp's name; with ?fail_on_no_slot=1 an error if none is free.</summary>
    public static Task SlotsAsync(Call call)
    {
        IReadOnlyList<Pod> pods = call.Engine.Pods;
        if (call.Http.Request.Query["fail_on_no_slot"] == "1" && pods.All(pod => pod.IsBusy))
            throw ApiException.Unavailable("no slot available", "no_slot");
        IReadOnlyList<Slot> slots = [.. pods.Select(pod => new Slot(pod.Id, call.Model.Config.SeqLen, pod.IsBusy,
            !pod.IsBusy ? "idle" : pod.IsPrefill ? "prefill" : "decode", pod.PromptTokens, pod.FedTokens, pod.SampledTokens))];
        return call.WriteJsonAsync(ApiJson.Bytes(slots));
    }
}
