using Llama2.Fast.Engine;

namespace Llama2.Cli.Server;

/// <summary>
/// llama.go's jobs, and Booster's way to stop one: a client chooses an id, leaves a prompt, and asks later. Jobs begin in the order in
/// which they came, among all other requests.
/// </summary>
internal static class JobEndpoints
{
    private const int Predict = 512; // tokens, as with llama.go where it is not told otherwise

    // llama.go's own words, by which its clients tell these errors apart
    private static ApiException WrongId => ApiException.Invalid("Wrong UUID4 id for request!", "id");
    private static ApiException Duplicate => ApiException.Invalid("Duplicated ID for the same request?", "id");
    private static ApiException NotFound => ApiException.Invalid("Request ID was not found!", "id");

    /// <summary>Takes a job. Fields beyond id and prompt, as seed, are those of a completion.</summary>
    public static Task AddAsync(Call call, Fields fields)
    {
        string name = fields.Text("id") ?? "";
        Guid id = Parse(name);
        string prompt = fields.Required("prompt").Text();
        TextRequest request = Request(fields, prompt, call.Model, call.User);
        Service service = call.Service;
        Job job = service.Jobs.Add(call.User, id, Create) ?? throw Duplicate;
        _ = RunAsync();
        JobAnswer answer = job.Describe(call.Model.Name);
        return call.WriteJsonAsync(ApiJson.SparseBytes(
            new JobAnswer(name, Job.Queued) { Created = answer.Created, Prompt = prompt }));

        Job Create()
        {
            Job created = new(id, name, prompt) { Route = call.Route };
            created.Submit(call.Engine, request, service.Options.Timeout);
            return created;
        }

        async Task RunAsync()
        {
            using (job)
                await job.RunAsync(service);
            service.Jobs.End(call.User, id, job.Size);
        }
    }

    public static Task StatusAsync(Call call) =>
        call.WriteJsonAsync(ApiJson.SparseBytes(new StatusWord((Find(call) ?? throw NotFound).Status)));

    public static Task ResultAsync(Call call) =>
        call.WriteJsonAsync(ApiJson.SparseBytes((Find(call) ?? throw NotFound).Describe(call.Model.Name)));

    public static async Task StopAsync(Call call)
    {
        Job job = Find(call) ?? throw new ApiException(404, "not_found_error", "there is no job of this id", code: "not_found");
        await call.WriteJsonAsync(ApiJson.SparseBytes(new StatusWord(job.Stop())));
    }

    /// <summary>Reads what a job is to generate.</summary>
    /// <exception cref="ApiException">It is not understood, or does not fit in the context.</exception>
    public static TextRequest Request(Fields fields, string prompt, ServedModel model, string user)
    {
        SamplingFields sampling = new(fields, model, SamplingDefaults.LlamaGo);
        int max = TextRequest.MaxTokens(fields, "max_tokens", min: 1) ?? Predict;
        return TextRequest.One(sampling.Text(model.Encode(prompt), max, TextRequest.CacheKey(fields, user)), streams: false);
    }

    private static Job? Find(Call call) => call.Service.Jobs.Find(call.User, Parse(call.Name));

    private static Guid Parse(string id) => Guid.TryParse(id, out Guid guid) ? guid : throw WrongId;
}
