using System.Text.Json;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>An answer is the same whoever else asks, streamed or not, and whatever is in the caches: that of generate.</summary>
public sealed class SameBytesTests
{
    private const int Steps = 60;

    private static readonly string[] Prompts =
        ["Once upon a time", "Once upon a time, there was a little", "Tina had a ball. She", "One day, a 猫 saw a", "The bird", ""];

    private sealed record Asked(string Prompt, int Seed, int Tokens)
    {
        public object Body(bool stream = false, bool cache = true) => new
        {
            prompt = Prompt,
            seed = Seed,
            temperature = 0.9f,
            top_p = 0.9f,
            max_tokens = Steps - Tokens + 1,
            echo = true,
            stream,
            cache_prompt = cache,
        };
    }

    /// <summary>Twelve requests, and what generate answers to each.</summary>
    private static (Asked Asked, string Text)[] Expected()
    {
        using TestFolder folder = new();
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));
        Asked[] asked = [.. Enumerable.Range(0, 12).Select(i =>
            new Asked(Prompts[i % Prompts.Length], 1 + i, tokenizer.Encode(Prompts[i % Prompts.Length]).Length))];
        File.WriteAllLines(folder.File("prompts"),
            asked.Select(one => JsonSerializer.Serialize(new { prompt = one.Prompt, seed = one.Seed })));
        string[] sampling = ["-t", "0.9", "-p", "0.9", "-n", $"{Steps}", "--silent"];
        BuiltProgram batch = BuiltProgram.Run(["--batch", folder.File("prompts"), .. sampling]);
        string[] texts = [.. batch.Out.TrimEnd().Split('\n').Select(line => (string)JsonNode.Parse(line)!["text"]!)];
        BuiltProgram alone = BuiltProgram.Run(["-i", Prompts[2], "-s", "3", "--json", .. sampling]);
        Assert.Equal(texts[2], (string)JsonNode.Parse(alone.Out)!["text"]!);
        Assert.Equal(12, texts.Distinct().Count());
        return [.. asked.Zip(texts)];
    }

    [Theory]
    [InlineData("--pods", "1", "--cache-bytes", "0")]
    [InlineData("--pods", "8", "--chunk", "3")]
    public async Task Alone_among_fifty_streamed_and_from_a_warm_cache_it_is_what_generate_says(params string[] args)
    {
        (Asked Asked, string Text)[] expected = Expected();
        await using RunningServer server = await RunningServer.StartAsync(args);
        foreach ((Asked asked, string text) in expected) // cold, then warm
        {
            Assert.Equal(text, await server.CompleteAsync(asked.Body()));
            Assert.Equal(text, await server.CompleteAsync(asked.Body()));
            Assert.Equal(text, await server.CompleteAsync(asked.Body(cache: false)));
        }
        await Task.WhenAll(Enumerable.Range(0, 50).Select(async i =>
        {
            (Asked asked, string text) = expected[i % expected.Length];
            Assert.Equal(text, i % 2 == 0 ? await server.CompleteAsync(asked.Body()) : await StreamAsync(server, asked));
        }));
        Assert.Equal(args.Contains("8"), await server.MetricAsync("vllm:prefix_cache_hits_total") > 0);
    }

    private static async Task<string> StreamAsync(RunningServer server, Asked asked)
    {
        List<string> events = await server.StreamAsync("/v1/completions", asked.Body(stream: true));
        Assert.Equal("[DONE]", events[^1]);
        return string.Concat(events.SkipLast(1).Select(json => (string)JsonNode.Parse(json)!["choices"]![0]!["text"]!));
    }

    // The three tests that llama.cpp's own suite skips, or runs at temperature 0 only, because there they fail.

    [Theory]
    [InlineData(0.0)]
    [InlineData(1.0)]
    public async Task Cache_or_no_cache_the_same_answer(double temperature)
    {
        await using RunningServer server = await RunningServer.StartAsync();
        const string Prompt = "I believe the meaning of life is";
        object Body(bool cache) => new { prompt = Prompt, seed = 42, temperature, cache_prompt = cache, max_tokens = 40 };
        string cached = await server.CompleteAsync(Body(true));
        Assert.Equal(cached, await server.CompleteAsync(Body(true)));
        Assert.Equal(cached, await server.CompleteAsync(Body(false)));
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(1.0)]
    public async Task Any_size_of_chunk_and_number_of_pods_the_same_answer(double temperature)
    {
        List<string> answers = [];
        foreach ((string chunk, string pods) in new[] { ("1", "1"), ("16", "2"), ("32", "4"), ("128", "2") })
        {
            await using RunningServer server = await RunningServer.StartAsync("--chunk", chunk, "--pods", pods);
            object body = new { prompt = "One day, a girl and her dog went to the park.", seed = 42, temperature, max_tokens = 32 };
            answers.AddRange(await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.CompleteAsync(body))));
        }
        Assert.Single(answers.Distinct());
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(1.0)]
    public async Task In_any_slot_the_same_answer(double temperature)
    {
        await using RunningServer server = await RunningServer.StartAsync("--pods", "3");
        object Body(int i) => new { prompt = Prompts[i % 3], seed = 42 + i % 3, temperature, max_tokens = 30 };
        string[] alone = [await server.CompleteAsync(Body(0)), await server.CompleteAsync(Body(1)), await server.CompleteAsync(Body(2))];
        string[] together = await Task.WhenAll(Enumerable.Range(0, 9).Select(i => server.CompleteAsync(Body(i))));
        Assert.All(together.Index(), answer => Assert.Equal(alone[answer.Index % 3], answer.Item));
    }
}
