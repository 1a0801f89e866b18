using System.Text.Json.Nodes;
using Llama2.Cli.Server;

namespace Llama2.Tests.Cli.Server;

/// <summary>RLLaMA's API: a line for each token with its probability, or with the logits of all.</summary>
public sealed class RllamaTests(StoryServer story) : IClassFixture<StoryServer>
{
    private const string Path = "/rllama/v1/inference", Prompt = "Once upon a time";

    private readonly RunningServer _server = story.Server;

    private static string Token(JsonNode line) => Assert.Single((JsonObject)line).Key;

    private static double Probability(JsonNode line) => (double)Assert.Single((JsonObject)line).Value!["p"]!;

    private static string Text(IEnumerable<JsonNode> lines) =>
        string.Concat(lines.Select(Token)).Replace('▁', ' ').Replace("<0x0A>", "\n", StringComparison.Ordinal);

    private static bool HasOnlyP(JsonNode line) => ((JsonObject)((JsonObject)line).Single().Value!).Count == 1;

    [Fact]
    public async Task The_tokens_are_generate_s_and_the_last_one_says_that_it_ends_the_text()
    {
        string[] args = ["-i", Prompt, "-s", "5", "-t", "0.9", "-p", "0.9", "--top-k", "15", "-n", "512", "--silent"];
        string expected = BuiltProgram.Run(args).Out.TrimEnd('\n')[Prompt.Length..];
        JsonNode[] lines = await _server.LinesAsync(Path,
            new { prompt = Prompt, seed = 5, temperature = 0.9f, top_p = 0.9f, top_k = 15, max_new_tokens = 500, max_seq_len = 1024 });
        Assert.Equal(expected, Text(lines.SkipLast(1)));
        JsonObject end = (JsonObject)lines[^1];
        Assert.True((bool)end.Single().Value!["is_end_token"]!);
        Assert.Contains(end.Single().Key, new[] { "<s>", "</s>" });
        Assert.All(lines.SkipLast(1), line => Assert.True(HasOnlyP(line)));
    }

    [Fact]
    public async Task A_request_without_limits_has_twenty_tokens_and_end_tokens_need_not_end_it()
    {
        Assert.Equal(20, (await _server.LinesAsync(Path, new { prompt = Prompt, temperature = 0 })).Length);
        Assert.Equal(2, (await _server.LinesAsync(Path, new { prompt = Prompt, max_new_tokens = 50, max_seq_len = 7 + 2 })).Length);
        JsonNode[] lines = await _server.LinesAsync(Path,
            new { prompt = Prompt, temperature = 0, max_new_tokens = 450, stop_at_end_token = false });
        Assert.Equal(450, lines.Length);
        Assert.Contains(lines, line => Token(line) is "<s>" or "</s>");
        Assert.All(lines, line => Assert.True(HasOnlyP(line)));
    }

    [Fact]
    public async Task P_is_the_probability_among_the_tokens_that_top_k_and_top_p_leave()
    {
        // at temperature 1 a completion tells the logarithms of the model's own probabilities
        (_, JsonNode answer) = await _server.PostAsync("/v1/completions",
            new { prompt = "One day", seed = 9, top_k = 4, top_p = 0.8, max_tokens = 30, logprobs = 8 });
        JsonNode logProbs = answer["choices"]![0]!["logprobs"]!;
        JsonNode[] lines = await _server.LinesAsync(Path,
            new { prompt = "One day", seed = 9, top_k = 4, top_p = 0.8, max_new_tokens = 30 });
        Assert.Equal(30, lines.Length);
        int several = 0;
        for (int i = 0; i < lines.Length; i++)
        {
            double[] top = [.. ((JsonObject)logProbs["top_logprobs"]![i]!).Select(entry => Math.Exp((double)entry.Value!)).Take(4)];
            double sum = 0;
            int left = 0;
            while (left < 4 && !(sum > 0.8 * top.Sum()))
                sum += top[left++];
            double p = Math.Exp((double)logProbs["token_logprobs"]![i]!) / sum;
            Assert.Equal(p, Probability(lines[i]), 1e-4);
            several += left > 1 ? 1 : 0;
        }
        Assert.InRange(several, 5, 30);
        JsonNode[] greedy = await _server.LinesAsync(Path, new { prompt = "One day", temperature = 0 });
        Assert.All(greedy, line => Assert.Equal(1, Probability(line)));
    }

    [Fact]
    public async Task Raw_lines_have_the_logits_of_all_tokens_by_their_names_and_sampling_goes_on()
    {
        object body = new { prompt = "One day", seed = 9, max_new_tokens = 3, temperature = 0.5, top_k = 2 };
        JsonNode[] sampled = await _server.LinesAsync(Path, body);
        JsonNode[] raw = await _server.LinesAsync(Path,
            new { prompt = "One day", seed = 9, max_new_tokens = 3, temperature = 0.5, top_k = 2, no_token_sampling = true });
        (_, JsonNode answer) = await _server.PostAsync("/v1/completions",
            new { prompt = "One day", seed = 9, max_tokens = 3, temperature = 0.5, top_k = 2, logprobs = 20 });
        Assert.Equal(3, raw.Length);
        for (int i = 0; i < 3; i++)
        {
            JsonObject line = (JsonObject)raw[i];
            Assert.Equal(line.Select(entry => entry.Key).Order(StringComparer.Ordinal), line.Select(entry => entry.Key));
            Assert.True(line.Count > 500, $"{line.Count} of 512 tokens");
            Assert.True((bool)line["</s>"]!["is_end_token"]!);
            double sum = line.Sum(entry => Math.Exp((double)entry.Value!["p"]!));
            double p = Math.Exp((double)line[Token(sampled[i])]!["p"]!) / sum;
            double expected = (double)answer["choices"]![0]!["logprobs"]!["token_logprobs"]![i]!;
            Assert.Equal(expected, Math.Log(p), 0.01); // which leaves out names that occur twice
        }
    }

    [Fact]
    public async Task Long_lines_arrive_whole_where_several_are_ready_at_once()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            JsonNode[] raw = await _server.LinesAsync(Path, new { prompt = "One day", seed, temperature = 0.5, no_token_sampling = true });
            Assert.Equal(20, raw.Length);
            Assert.All(raw, line => Assert.True(((JsonObject)line).Count > 500, line.ToJsonString()));
        }
    }

    [Fact]
    public void What_is_remembered_of_a_token_is_taken_once_and_what_is_not_there_is_an_error()
    {
        ObservedSampler sampler = new(new Sampler(4, 0, 1, 1), keepsLogits: false);
        sampler.See(new float[4], [5, 6]);
        sampler.Sample(new float[4]);
        Assert.Equal(1, sampler.TakeProbability(2));
        Assert.Throws<InvalidOperationException>(() => sampler.TakeProbability(2));
        Assert.Throws<InvalidOperationException>(() => sampler.TakeLogits(2));
    }

    [Fact]
    public void Raw_requests_of_more_logits_than_may_wait_for_a_slow_reader_are_refused()
    {
        ServedModel model = CountingService.Model(new Config(2, 2, 1, 1, 1, 1 << 20, 64));
        Fields fields = Fields.Parse("""{"prompt":"a","no_token_sampling":true,"max_new_tokens":17}"""u8.ToArray(), 32);
        ApiException refused = Assert.Throws<ApiException>(() => RllamaEndpoint.Request(fields, model, ""));
        Assert.Equal("max_new_tokens: expected 16 or less with no_token_sampling, found 17", refused.Message);
        fields = Fields.Parse("""{"prompt":"a","no_token_sampling":true,"max_new_tokens":16}"""u8.ToArray(), 32);
        Assert.Equal(16, RllamaEndpoint.Request(fields, model, "").Request.Texts[0].Request.MaxNewTokens);
    }
}
