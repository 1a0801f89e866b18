using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>Every endpoint as one would try it with curl: the status, and the shape of what comes.</summary>
public sealed class CurlTests(StoryServer story) : IClassFixture<StoryServer>
{
    private const string Chat = """{"messages":[{"role":"user","content":"Once"}],"max_tokens":3,""";
    private const string Ollama = """{"model":"tales659K","prompt":"Once","input":"Once","options":{"num_predict":3},"""
        + """ "messages":[{"role":"user","content":"Once"}],""";
    private const string Usage =
        "{prompt_tokens:number,completion_tokens:number,total_tokens:number,prompt_tokens_details:{cached_tokens:number}}";
    private const string Timings = "{cache_n:number,prompt_n:number,prompt_ms:number,prompt_per_token_ms:number,"
        + "prompt_per_second:number,predicted_n:number,predicted_ms:number,predicted_per_token_ms:number,predicted_per_second:number,"
        + "queued_ms:number}";
    private const string Counts = "done_reason:text,total_duration:number,load_duration:number,prompt_eval_count:number,"
        + "prompt_eval_duration:number,eval_count:number,eval_duration:number}";
    private const string Details =
        "{parent_model:text,format:text,family:text,families:[text],parameter_size:text,quantization_level:text}";

    public static TheoryData<string, string?, string, string> Transcripts => new()
    {
        { "/health", null, "200 application/json", "{status:text}" },
        { "/ping", null, "200 application/json", "{status:text}" },
        { "/version", null, "200 application/json", "{version:text}" },
        { "/v1/models", null, "200 application/json", "{object:text,data:[{id:text,object:text,created:number,owned_by:text,"
            + "max_model_len:number,meta:{n_vocab:number,n_ctx_train:number,n_embd:number,n_layer:number}}]}" },
        { "/v1/chat/completions", Chat + "\"seed\":1}", "200 application/json", "{id:text,object:text,created:number,model:text,"
            + "system_fingerprint:text,choices:[{index:number,message:{role:text,content:text,refusal:null},logprobs:null,"
            + $"finish_reason:text}}],usage:{Usage},timings:{Timings}}}" },
        { "/v1/chat/completions", Chat + "\"stream\":true}", "200 text/event-stream", "{id:text,object:text,created:number,model:text,"
            + "system_fingerprint:text,choices:[{index:number,delta:{},logprobs:null,finish_reason:text}],"
            + $"timings:{Timings}}}" },
        { "/v1/chat/completions/input_tokens", Chat + "\"n\":1}", "200 application/json", "{input_tokens:number}" },
        { "/v1/completions", """{"prompt":"Once","max_tokens":3}""", "200 application/json", "{id:text,object:text,created:number,"
            + $"model:text,system_fingerprint:text,choices:[{{index:number,text:text,logprobs:null,finish_reason:text}}],usage:{Usage},"
            + $"timings:{Timings}}}" },
        { "/v1/embeddings", """{"input":"Once"}""", "200 application/json", "{object:text,data:[{object:text,index:number,"
            + "embedding:[number]}],model:text,usage:{prompt_tokens:number,total_tokens:number}}" },
        { "/v1/completions", "{", "400 application/json", "{error:{message:text,type:text,param:null,code:null}}" },
        { "/v1/nothing", null, "404 application/json", "{error:{message:text,type:text,param:null,code:text}}" },
        { "/tokenize", """{"content":"Once"}""", "200 application/json", "{tokens:[number]}" },
        { "/detokenize", """{"tokens":[300]}""", "200 application/json", "{content:text}" },
        { "/apply-template", Chat + "\"n\":1}", "200 application/json", "{prompt:text,tokens:[number]}" },
        { "/api/version", null, "200 application/json", "{version:text}" },
        { "/api/tags", null, "200 application/json",
            $"{{models:[{{name:text,model:text,modified_at:text,size:number,digest:text,details:{Details}}}]}}" },
        { "/api/ps", null, "200 application/json", $"{{models:[{{name:text,model:text,size:number,digest:text,details:{Details},"
            + "expires_at:text,size_vram:number,context_length:number}]}" },
        { "/api/generate", Ollama + "\"keep_alive\":\"5m\"}", "200 application/x-ndjson",
            "{model:text,created_at:text,done:true,response:text," + Counts },
        { "/api/generate", Ollama + "\"stream\":false}", "200 application/json",
            "{model:text,created_at:text,done:true,response:text," + Counts },
        { "/api/chat", Ollama + "\"stream\":false}", "200 application/json",
            "{model:text,created_at:text,done:true,message:{role:text,content:text}," + Counts },
        { "/api/embed", Ollama + "\"truncate\":true}", "200 application/json",
            "{model:text,embeddings:[[number]],total_duration:number,load_duration:number,prompt_eval_count:number}" },
        { "/api/embeddings", Ollama + "\"keep_alive\":0}", "200 application/json", "{embedding:[number]}" },
        { "/api/chat", "{}", "400 application/json", "{error:text}" },
        { "/api/nothing", null, "404 application/json", "{error:text}" },
        { "/rllama/v1/inference", """{"prompt":"Once","temperature":0,"max_new_tokens":3}""", "200 application/x-ndjson",
            "{▁a:{p:number}}" },
        { "/jobs", """{"id":"b3a4ee44-a9d6-4b9b-8b0f-0f2f6d0f1a11","prompt":"Once"}""", "200 application/json",
            "{id:text,status:text,prompt:text,created:number}" },
    };

    [Theory]
    [MemberData(nameof(Transcripts))]
    public void What_curl_gets_has_the_status_and_shape_that_it_should(string path, string? body, string status, string shape)
    {
        (string head, string answer) = Curl(path, body is null ? [] : ["-d", body]);
        Assert.Equal(status, head);
        string[] parts = [.. answer.Split('\n').Where(line => line is not ("" or "data: [DONE]"))];
        string last = parts[^1].StartsWith("data: ", StringComparison.Ordinal) ? parts[^1]["data: ".Length..] : parts[^1];
        Assert.Equal(shape, Shape.Of(JsonNode.Parse(last)));
    }

    [Fact]
    public void Everything_else_that_has_a_name_answers_too()
    {
        foreach (string path in new[] { "/", "/metrics", "/props", "/slots", "/v1/models/tales659K" })
            Assert.StartsWith("200 ", Curl(path).Head, StringComparison.Ordinal);
        Assert.Equal("400 text/plain; charset=utf-8", Curl("/jobs/status/1").Head);
        Assert.Equal("404 application/json", Curl("/jobs/b3a4ee44-a9d6-4b9b-8b0f-0f2f6d0f1a12", "-X", "DELETE").Head);
        Assert.Equal("404 application/json", Curl("/api/show", "-d", """{"model":"other"}""").Head);
    }

    private (string Head, string Body) Curl(string path, params string[] args)
    {
        const string End = "\n%{http_code} %{content_type}";
        Process curl;
        try
        {
            curl = Process.Start(new ProcessStartInfo("curl", ["-s", "-m", "60", "-w", End, .. args, story.Server.Url + path])
            {
                RedirectStandardOutput = true,
                StandardOutputEncoding = System.Text.Encoding.UTF8,
            })!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("there is no curl");
            throw;
        }
        using (curl)
        {
            string all = curl.StandardOutput.ReadToEnd();
            curl.WaitForExit();
            Assert.Equal(0, curl.ExitCode);
            int end = all.LastIndexOf('\n');
            return (all[(end + 1)..], all[..end]);
        }
    }
}
