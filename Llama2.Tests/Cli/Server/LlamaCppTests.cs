using System.Text;
using System.Text.Json.Nodes;
using Llama2.Cli.Server;
using Llama2.Tests.Fast;

namespace Llama2.Tests.Cli.Server;

/// <summary>
/// llama.cpp's own /completion. The shapes are those of the README of its server, without generation_settings; of its parts that README
/// names content, tokens and stop.
/// </summary>
public sealed class LlamaCppTests(StoryServer story) : IClassFixture<StoryServer>
{
    private const string Path = "/completion", Prompt = "Once upon a time";

    private const string Part = "{index:number,content:text,tokens:[number],stop:false";

    private const string Rest = "model:text,prompt:text,tokens_predicted:number,tokens_evaluated:number,tokens_cached:number,"
        + "truncated:false,stop_type:text,stopping_word:text,timings:{cache_n:number,prompt_n:number,prompt_ms:number,"
        + "prompt_per_token_ms:number,prompt_per_second:number,predicted_n:number,predicted_ms:number,predicted_per_token_ms:number,"
        + "predicted_per_second:number,queued_ms:number}}";

    private const string Token = "{token:text,logprob:number,bytes:[number],top_logprobs:[{token:text,logprob:number,bytes:[number],"
        + "id:number}],id:number}";

    private static readonly ServedModel Model = CountingService.Model(new Config(2, 2, 1, 1, 1, 512, 64));

    private readonly RunningServer _server = story.Server;

    private static Fields Parse(string json) => Fields.Parse(Encoding.UTF8.GetBytes(json), 32);

    private async Task<JsonNode> AskAsync(object body, string path = Path)
    {
        (int status, JsonNode answer) = await _server.PostAsync(path, body);
        Assert.True(status == 200, answer.ToJsonString());
        return answer;
    }

    private async Task<string> TextAsync(object body) => (string)(await AskAsync(body))["content"]!;

    private async Task<JsonNode[]> EventsAsync(object body) =>
        [.. (await _server.StreamAsync(Path, body)).Select(json => JsonNode.Parse(json)!)]; // all are JSON: [DONE] is OpenAI's

    private async Task<int[]> TokensAsync(string text, bool bos) =>
        [.. (await AskAsync(new { content = text, add_special = bos }, "/tokenize"))["tokens"]!.AsArray().Select(id => (int)id!)];

    [Fact]
    public async Task Whole_in_parts_and_of_ids_the_text_is_generate_s()
    {
        string[] args = ["-i", Prompt, "-s", "5", "-t", "0.9", "-p", "0.9", "--top-k", "15", "--min-p", "0.02", "--repeat-penalty", "1.2",
            "-n", "60", "--silent"];
        string expected = BuiltProgram.Run(args).Out.TrimEnd('\n')[Prompt.Length..];
        int[] ids = await TokensAsync(Prompt, bos: true);
        foreach (object prompt in (object[])[Prompt, ids])
        {
            object Body(bool stream) => new
            {
                prompt,
                seed = 5,
                temperature = 0.9,
                top_p = 0.9,
                top_k = 15,
                min_p = 0.02,
                repeat_penalty = 1.2,
                n_predict = 60 - ids.Length + 1,
                cache_prompt = true,
                stream,
            };
            Assert.Equal(expected, await TextAsync(Body(stream: false)));
            Assert.Equal(expected, string.Concat((await EventsAsync(Body(stream: true))).Select(part => (string)part["content"]!)));
        }
    }

    [Theory]
    [InlineData("/completion")]
    [InlineData("/completions")]
    [InlineData("/v1/completion")]
    public async Task A_whole_answer_has_the_shape_of_llama_cpp_s(string path)
    {
        JsonNode answer = await AskAsync(new { prompt = Prompt, n_predict = 3, temperature = 0, n_probs = 2, return_tokens = true }, path);
        Assert.Equal(Part.Replace("false", "true", StringComparison.Ordinal) + $",completion_probabilities:[{Token}],{Rest}",
            Shape.Of(answer));
        Assert.Equal(3, answer["tokens"]!.AsArray().Count);
        answer = await AskAsync(new { prompt = Prompt, n_predict = 3 }, path);
        Assert.Equal("{index:number,content:text,tokens:[],stop:true," + Rest, Shape.Of(answer));
        Assert.Equal((Prompt, 3, 7, "limit", ""), ((string)answer["prompt"]!, (int)answer["tokens_predicted"]!,
            (int)answer["tokens_evaluated"]!, (string)answer["stop_type"]!, (string)answer["stopping_word"]!));
    }

    [Fact]
    public async Task A_stream_has_an_event_for_each_token_and_a_last_one_with_the_counts()
    {
        JsonNode[] events = await EventsAsync(new { prompt = Prompt, n_predict = 4, temperature = 0, stream = true, n_probs = 1 });
        Assert.Equal(4 + 1, events.Length);
        Assert.All(events[..4], part => Assert.Equal(Part + $",completion_probabilities:[{Token}]}}", Shape.Of(part)));
        Assert.Equal("{index:number,content:text,tokens:[],stop:true," + Rest, Shape.Of(events[4]));
        Assert.Equal(("", 4), ((string)events[4]["content"]!, (int)events[4]["tokens_predicted"]!));
        JsonNode whole = await AskAsync(new { prompt = Prompt, n_predict = 4, temperature = 0, return_tokens = true });
        Assert.Equal(whole["tokens"]!.ToJsonString(), $"[{string.Join(',', events[..4].Select(part => part["tokens"]![0]))}]");
    }

    [Fact]
    public async Task Why_it_stopped_is_told_in_llama_cpp_s_words()
    {
        string text = await TextAsync(new { prompt = Prompt, n_predict = 30, temperature = 0 });
        string word = text[10..14];
        JsonNode answer = await AskAsync(new { prompt = Prompt, temperature = 0, stop = new[] { "never", word } });
        Assert.Equal(("word", word, text[..text.IndexOf(word, StringComparison.Ordinal)]),
            ((string)answer["stop_type"]!, (string)answer["stopping_word"]!, (string)answer["content"]!));

        answer = await AskAsync(new { prompt = Prompt, temperature = 0, return_tokens = true });
        Assert.Equal(("eos", ""), ((string)answer["stop_type"]!, (string)answer["stopping_word"]!));
        Assert.Equal((int)answer["tokens_predicted"]!, answer["tokens"]!.AsArray().Count);

        answer = await AskAsync(new { prompt = Prompt, ignore_eos = true });
        Assert.Equal(("limit", true), ((string)answer["stop_type"]!, (bool)answer["truncated"]!));

        answer = await AskAsync(new { prompt = Prompt, n_predict = 0 });
        Assert.Equal(("limit", "", 0, false), ((string)answer["stop_type"]!, (string)answer["content"]!, (int)answer["tokens_predicted"]!,
            (bool)answer["truncated"]!));
    }

    [Fact]
    public async Task Several_prompts_and_several_texts_of_one_are_an_array()
    {
        JsonArray answers = (await AskAsync(new { prompt = new[] { Prompt, "One day" }, n_predict = 9, seed = 3, n_cmpl = 2 })).AsArray();
        Assert.Equal([0, 1, 2, 3], answers.Select(answer => (int)answer!["index"]!));
        Assert.Equal([Prompt, Prompt, "One day", "One day"], answers.Select(answer => (string)answer!["prompt"]!));
        Assert.Equal(await TextAsync(new { prompt = Prompt, n_predict = 9, seed = 4 }), (string)answers[1]!["content"]!);
        Assert.Equal(await TextAsync(new { prompt = "One day", n_predict = 9, seed = 3 }), (string)answers[2]!["content"]!);
        Assert.All(answers, answer => Assert.Equal(9, (int)answer!["tokens_predicted"]!));
    }

    [Fact]
    public async Task Values_that_are_not_given_are_llama_cpp_s()
    {
        string[] texts = await Task.WhenAll(Enumerable.Range(1, 20).Select(async seed =>
        {
            string given = await TextAsync(new
            {
                prompt = Prompt,
                seed,
                n_predict = -1,
                temperature = 0.8,
                top_k = 40,
                top_p = 0.95,
                min_p = 0.05,
                repeat_penalty = 1.0,
                mirostat = 0,
                typical_p = 1.0,
                dry_multiplier = 0,
                top_n_sigma = -1.0,
                min_keep = 0,
                id_slot = -1,
                lora = Array.Empty<int>(),
            });
            Assert.Equal(given, await TextAsync(new { prompt = Prompt, seed }));
            return given;
        }));
        Assert.Equal(20, texts.Distinct().Count());
        object random = new { prompt = Prompt, seed = -1, temperature = 2.0, n_predict = 60 };
        Assert.NotEqual(await TextAsync(random), await TextAsync(random));
    }

    [Fact]
    public async Task A_bias_is_for_an_id_or_for_all_tokens_of_a_text_and_false_means_never()
    {
        JsonNode first = await AskAsync(new { prompt = Prompt, temperature = 0, n_predict = 1, return_tokens = true });
        int likeliest = (int)first["tokens"]![0]!;
        int[] cat = await TokensAsync("cat", bos: false);
        Assert.NotEqual(likeliest, cat[0]);
        Assert.Equal([cat[0]], await FirstAsync(new object[] { new object[] { cat[0], 100 } }));
        Assert.Contains((await FirstAsync(new object[] { new object[] { "cat", 100 } }))[0], cat);
        Assert.Equal([cat[0]], await FirstAsync(new Dictionary<string, int> { [$"{cat[0]}"] = 100 }));
        object[] never = [.. Enumerable.Range(0, 512).Where(id => id != cat[^1]).Select(id => new object[] { id, false })];
        Assert.Equal([cat[^1]], await FirstAsync(never));

        async Task<int[]> FirstAsync(object bias) => [.. (await AskAsync(
            new { prompt = Prompt, temperature = 0, n_predict = 1, return_tokens = true, logit_bias = bias }))["tokens"]!.AsArray()
            .Select(id => (int)id!)];
    }

    [Fact]
    public void Biases_of_a_token_are_summed_once_for_all_texts()
    {
        string pairs = string.Join(',', Enumerable.Repeat("[5,0.5]", 100_000));
        SamplingFields sampling = new(Parse($$"""{"logit_bias":[{{pairs}}],"temperature":0}"""), Model, SamplingDefaults.LlamaCpp);
        Assert.InRange(Allocations.Of(() => sampling.Text([1], 1, null)), 0, 100_000);
        Assert.Equal(50_000, Filtered(sampling, [1])[5]);
        sampling = new(Parse("""{"logit_bias":{"5":1,"05":2},"temperature":0}"""), Model, SamplingDefaults.OpenAi);
        Assert.Equal(3, Filtered(sampling, [1])[5]);
    }

    [Theory]
    [InlineData("", 0)]
    [InlineData("ignore_eos", 3)]
    public async Task Biases_that_rule_out_every_token_are_refused(string flag, int firstId)
    {
        string never = string.Join(',', Enumerable.Range(firstId, 512 - firstId).Select(id => $"[{id},false]"));
        string rest = firstId == 0 ? "" : ",[0,false]";
        (int status, string answer) = await _server.PostBytesAsync(Path, Encoding.UTF8.GetBytes(
            $$"""{"prompt":"a","n_predict":1,"logit_bias":[{{never}}{{rest}}],"{{flag}}":true}"""));
        Assert.Equal(400, status);
        Assert.Contains("\"logit_bias: rules out every token\"", answer, StringComparison.Ordinal);
    }

    [Fact]
    public void All_penalties_are_about_the_last_tokens_and_the_prompt_s_as_well()
    {
        Fields fields = Parse("""{"presence_penalty":1,"frequency_penalty":0.5,"repeat_last_n":3,"temperature":0}""");
        float[] logits = Filtered(new SamplingFields(fields, Model, SamplingDefaults.LlamaCpp), [7, 8, 8, 9]);
        Assert.Equal((0, -2, -1.5f), (logits[7], logits[8], logits[9]));
        logits = Filtered(new SamplingFields(fields, Model, SamplingDefaults.OpenAi), [7, 8, 8, 9]);
        Assert.Equal((0, 0, 0), (logits[7], logits[8], logits[9]));
    }

    private static float[] Filtered(SamplingFields sampling, int[] prompt)
    {
        float[] logits = new float[512];
        foreach (LogitFilter filter in sampling.Text(prompt, 1, null).Request.Filters)
            filter(logits, prompt);
        return logits;
    }

    [Fact]
    public async Task Other_names_of_a_field_count_where_its_own_is_not_given()
    {
        object others = new { prompt = Prompt, max_completion_tokens = 3, max_tokens = 5, n = 2, logprobs = 2 };
        JsonArray answers = (await AskAsync(others)).AsArray();
        Assert.Equal(2, answers.Count);
        Assert.All(answers, answer => Assert.Equal((3, 2), Counts(answer!)));
        object both = new { prompt = Prompt, n_predict = 4, max_completion_tokens = 3, n_cmpl = 1, n = 2, n_probs = 1, logprobs = 2 };
        Assert.Equal((4, 1), Counts(await AskAsync(both)));

        static (int Tokens, int Top) Counts(JsonNode answer) => ((int)answer["tokens_predicted"]!,
            answer["completion_probabilities"]![0]!["top_logprobs"]!.AsArray().Count);
    }

    [Theory]
    [InlineData("\"top_n_sigma\":0")]
    [InlineData("\"top_n_sigma\":-1")]
    [InlineData("\"adaptive_target\":-0.5")]
    [InlineData("\"min_keep\":1")]
    [InlineData("\"n_indent\":0")]
    [InlineData("\"t_max_predict_ms\":-1")]
    [InlineData("\"typical_p\":2")]
    [InlineData("\"dynatemp_range\":-1")]
    [InlineData("\"xtc_probability\":-1")]
    [InlineData("\"stop\":\"\"")]
    [InlineData("\"stop\":[\"\"]")]
    [InlineData("\"top_k\":-1", "\"top_k\":0")]
    [InlineData("\"temperature\":-1", "\"temperature\":0")]
    public async Task Values_that_turn_something_off_in_llama_cpp_do_so_here(string off, string without = "\"seed\":1")
    {
        Assert.Equal(await TextAsync(without), await TextAsync(off));

        async Task<string> TextAsync(string field)
        {
            string seed = field.Contains("seed", StringComparison.Ordinal) ? "" : ",\"seed\":1";
            (int status, string answer) = await _server.PostBytesAsync(
                Path, Encoding.UTF8.GetBytes($$"""{"prompt":"{{Prompt}}","n_predict":20,{{field}}{{seed}}}"""));
            Assert.True(status == 200, answer);
            return (string)JsonNode.Parse(answer)!["content"]!;
        }
    }

    [Fact]
    public async Task OpenAI_s_API_ignores_what_is_llama_cpp_s_alone()
    {
        (int status, JsonNode answer) = await _server.PostAsync("/v1/completions",
            new { prompt = Prompt, max_tokens = 1, n_indent = 2, min_keep = 2, t_max_predict_ms = 100 });
        Assert.True(status == 200, answer.ToJsonString());
    }

    [Fact]
    public async Task Probabilities_are_the_model_s_own()
    {
        JsonNode mine = await AskAsync(new { prompt = Prompt, seed = 2, n_predict = 5, top_k = 3, n_probs = 3 });
        (_, JsonNode other) = await _server.PostAsync("/v1/completions",
            new { prompt = Prompt, seed = 2, max_tokens = 5, temperature = 0.8, top_k = 3, top_p = 0.95, min_p = 0.05, logprobs = 3 });
        JsonArray tokens = mine["completion_probabilities"]!.AsArray();
        Assert.Equal(other["choices"]![0]!["logprobs"]!["token_logprobs"]!.ToJsonString(),
            $"[{string.Join(',', tokens.Select(token => token!["logprob"]!.ToJsonString()))}]");
        Assert.All(tokens, token => Assert.Equal(3, token!["top_logprobs"]!.AsArray().Count));
        JsonNode text = await AskAsync(new { tokens = tokens.Select(token => (int)token!["id"]!) }, "/detokenize");
        Assert.Equal((string)mine["content"]!, (string)text["content"]!);
    }

    [Theory]
    [InlineData("grammar", "\"root ::= x\"")]
    [InlineData("json_schema", "{}")]
    [InlineData("mirostat", "2")]
    [InlineData("typical_p", "0.5")]
    [InlineData("dynatemp_range", "0.5")]
    [InlineData("dry_multiplier", "0.8")]
    [InlineData("xtc_probability", "0.5")]
    [InlineData("top_n_sigma", "1")]
    [InlineData("adaptive_target", "0.5")]
    [InlineData("adaptive_target", "0")]
    [InlineData("min_keep", "2")]
    [InlineData("n_indent", "2")]
    [InlineData("t_max_predict_ms", "100")]
    [InlineData("samplers", "[\"top_k\"]")]
    [InlineData("lora", "[{\"id\":0,\"scale\":1}]")]
    [InlineData("post_sampling_probs", "true")]
    [InlineData("image_data", "[{}]")]
    [InlineData("system_prompt", "{}")]
    [InlineData("banned_strings", "[\"a\"]")]
    [InlineData("banned_regex", "[\"a\"]")]
    public async Task What_would_change_the_text_and_is_not_there_is_refused(string field, string value)
    {
        (int status, string answer) = await _server.PostBytesAsync(
            Path, Encoding.UTF8.GetBytes($$"""{"prompt":"a","{{field}}":{{value}}}"""));
        JsonNode error = JsonNode.Parse(answer)!["error"]!;
        Assert.Equal((400, field, "unsupported_parameter", $"{field} is not supported by this server"),
            (status, (string)error["param"]!, (string)error["code"]!, (string)error["message"]!));
    }
}
