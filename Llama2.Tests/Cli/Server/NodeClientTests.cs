using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>The clients of OpenAI and Ollama for JavaScript talk to the built program.</summary>
public sealed class NodeClientTests(NodeClients clients, StoryServer story) : IClassFixture<NodeClients>, IClassFixture<StoryServer>
{
    [Fact]
    public async Task OpenAI_s_client_chats_streams_completes_embeds_cancels_and_gets_errors()
    {
        JsonNode seen = await clients.RunAsync("""
            import OpenAI from "openai";
            const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "any", maxRetries: 0 });
            const body = { model: "tales659K", seed: 7, temperature: 0.8, max_completion_tokens: 30, logprobs: true, top_logprobs: 2,
                messages: [{ role: "system", content: "A story." }, { role: "user", content: "Once upon a time" }] };
            const whole = await client.chat.completions.create(body);
            let streamed = "", reason, usage;
            const stream = { ...body, stream: true, stream_options: { include_usage: true } };
            for await (const chunk of await client.chat.completions.create(stream)) {
                streamed += chunk.choices[0]?.delta?.content ?? "";
                reason = chunk.choices[0]?.finish_reason ?? reason;
                usage = chunk.usage ?? usage;
            }
            const completion = await client.completions.create({ model: "tales659K", prompt: "Once", max_tokens: 5, seed: 1, echo: true });
            const vectors = await client.embeddings.create({ model: "tales659K", input: ["The cat sat.", "One day"] });
            const models = []; for await (const model of client.models.list()) models.push(model.id);
            const one = await client.models.retrieve("tales659K");
            const long = await client.chat.completions.create({ ...body, max_completion_tokens: 400, stream: true });
            for await (const chunk of long) { long.controller.abort(); break; }
            let error;
            try {
                await client.chat.completions.create({ ...body, response_format: { type: "json_object" } });
            } catch (e) { error = e; }
            console.log(JSON.stringify({ whole: whole.choices[0], streamed, reason, usage, completion: completion.choices[0].text,
                vectors: vectors.data.map(one => one.embedding.length), models, one: one.id,
                error: [error.constructor.name, error.status, error.param, error.type] }));
            """, story.Server.Url);
        Assert.Equal((string)seen["whole"]!["message"]!["content"]!, (string)seen["streamed"]!);
        Assert.Equal(30, ((JsonArray)seen["whole"]!["logprobs"]!["content"]!).Count);
        Assert.Equal(("length", 30), ((string)seen["reason"]!, (int)seen["usage"]!["completion_tokens"]!));
        Assert.StartsWith("Once", (string)seen["completion"]!, StringComparison.Ordinal);
        Assert.Equal("""[96,96] ["tales659K"] tales659K""",
            $"{seen["vectors"]!.ToJsonString()} {seen["models"]!.ToJsonString()} {seen["one"]}");
        Assert.Equal("""["BadRequestError",400,"response_format","invalid_request_error"]""", seen["error"]!.ToJsonString());
    }

    [Fact]
    public async Task Ollama_s_client_generates_chats_embeds_lists_shows_and_gets_errors()
    {
        JsonNode seen = await clients.RunAsync("""
            import { Ollama } from "ollama";
            const client = new Ollama({ host: process.argv[2] });
            const model = (await client.list()).models[0].name;
            const options = { seed: 7, temperature: 0.8, num_predict: 30 };
            const messages = [{ role: "user", content: "Once upon a time" }];
            const whole = await client.chat({ model, messages, options });
            let streamed = "", last;
            for await (const part of await client.chat({ model, messages, options, stream: true })) {
                streamed += part.message.content;
                last = part;
            }
            let generated = "";
            for await (const part of await client.generate({ model, prompt: "Once upon a time", options, stream: true }))
                generated += part.response;
            const vectors = await client.embed({ model, input: ["The cat sat.", "One day"] });
            const vector = await client.embeddings({ model, prompt: "The cat sat." });
            const shown = await client.show({ model });
            const loaded = await client.ps();
            const version = await client.version();
            const errors = [];
            for (const request of [{ model: "llama3", prompt: "a" }, { model, prompt: "a", format: "json" }])
                try { await client.generate(request); } catch (e) { errors.push(e.name, e.status_code); }
            console.log(JSON.stringify({ model, whole: whole.message, streamed, generated, last, errors,
                shown: shown.model_info["llama.context_length"], vectors: vectors.embeddings.map(one => one.length),
                vector: vector.embedding.length, loaded: loaded.models[0].name, version: version.version }));
            """, story.Server.Url);
        Assert.Equal("tales659K:latest tales659K:latest", $"{seen["model"]} {seen["loaded"]}");
        Assert.Equal((string)seen["whole"]!["content"]!, (string)seen["streamed"]!);
        Assert.Equal((string)seen["streamed"]!, (string)seen["generated"]!);
        JsonNode last = seen["last"]!;
        Assert.Equal((true, "length", 30), ((bool)last["done"]!, (string)last["done_reason"]!, (int)last["eval_count"]!));
        Assert.Equal("[96,96] 96 512", $"{seen["vectors"]!.ToJsonString()} {seen["vector"]} {seen["shown"]}");
        Assert.Equal("""["ResponseError",404,"ResponseError",400]""", seen["errors"]!.ToJsonString());
    }
}

/// <summary>The packages in a folder of their own.</summary>
public sealed class NodeClients : IAsyncLifetime
{
    private static readonly string[] Packages = ["openai@6.49.0", "ollama@0.6.4"];

    private readonly TestFolder _folder = new();
    private string? _missing; // why there are none

    public async ValueTask InitializeAsync()
    {
        (int code, string output) = await RunAsync("npm", ["install", "--no-audit", "--no-fund", "--no-save", "--fetch-retries=0",
            "--fetch-timeout=20000", "--prefix", _folder.Path, .. Packages]);
        _missing = code == 0 ? null : $"npm cannot install {string.Join(" and ", Packages)}: {output.Split('\n')[0]}";
    }

    /// <summary>What a script prints, which gets the server's address as its argument.</summary>
    public async Task<JsonNode> RunAsync(string script, string url)
    {
        Assert.SkipWhen(_missing is not null, _missing ?? "");
        string path = _folder.File($"{Guid.NewGuid():N}.mjs");
        await File.WriteAllTextAsync(path, script);
        (int code, string output) = await RunAsync("node", [path, url]);
        Assert.True(code == 0, output);
        return JsonNode.Parse(output)!;
    }

    private static async Task<(int Code, string Output)> RunAsync(string program, string[] args)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, args)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                StandardOutputEncoding = System.Text.Encoding.UTF8,
            })!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            return (process.ExitCode, process.ExitCode == 0 ? output : await error + output);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (-1, $"there is no {program}");
        }
    }

    public ValueTask DisposeAsync()
    {
        _folder.Dispose();
        return default;
    }
}
