using System.ClientModel;
using System.ClientModel.Primitives;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Embeddings;

namespace Llama2.Tests.Cli.Server;

#pragma warning disable OPENAI001 // Seed is marked as one that may change

/// <summary>OpenAI's own client for .NET talks to the built program.</summary>
public sealed class OpenAiClientTests(StoryServer story) : IClassFixture<StoryServer>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private readonly OpenAIClient _client = new(new ApiKeyCredential("any"), new OpenAIClientOptions
    {
        Endpoint = new Uri(story.Server.Url + "/v1"),
        RetryPolicy = new ClientRetryPolicy(0),
    });

    private ChatClient Chat => _client.GetChatClient("tales659K");

    private static readonly ChatMessage[] Messages = [new SystemChatMessage("A story."), new UserChatMessage("Once upon a time")];

    private static ChatCompletionOptions Options => new()
    {
        MaxOutputTokenCount = 30,
        Seed = 7,
        Temperature = 0.8f,
        TopP = 0.9f,
        IncludeLogProbabilities = true,
        TopLogProbabilityCount = 2,
    };

    [Fact]
    public async Task Chat_whole_and_streamed_gives_the_same_text_logarithms_reasons_and_counts()
    {
        ChatCompletion whole = await Chat.CompleteChatAsync(Messages, Options, Cancellation);
        string text = "";
        List<ChatTokenLogProbabilityDetails> tokens = [];
        ChatFinishReason? reason = null;
        ChatTokenUsage? usage = null;
        HashSet<string> ids = [];
        await foreach (StreamingChatCompletionUpdate update in Chat.CompleteChatStreamingAsync(Messages, Options, Cancellation))
        {
            text += string.Concat(update.ContentUpdate.Select(part => part.Text));
            tokens.AddRange(update.ContentTokenLogProbabilities);
            reason ??= update.FinishReason;
            usage ??= update.Usage;
            ids.Add(update.CompletionId);
        }
        Assert.Equal(whole.Content[0].Text, text);
        Assert.Equal((ChatFinishReason.Length, ChatFinishReason.Length), (whole.FinishReason, reason));
        Assert.Equal((30, whole.Usage.InputTokenCount), (usage!.OutputTokenCount, usage.InputTokenCount));
        Assert.Equal(30, whole.Usage.OutputTokenCount);
        Assert.Equal(whole.ContentTokenLogProbabilities.Select(token => (token.Token, token.LogProbability)),
            tokens.Select(token => (token.Token, token.LogProbability)));
        Assert.Equal(text, string.Concat(tokens.Select(token => token.Token)));
        Assert.All(tokens, token => Assert.Equal(2, token.TopLogProbabilities.Count));
        Assert.Single(ids);
        Assert.Equal("tales659K", whole.Model);
        Assert.Equal(ChatMessageRole.Assistant, whole.Role);
    }

    [Fact]
    public async Task A_conversation_goes_on_and_its_beginning_is_not_read_again()
    {
        ChatCompletionOptions options = new() { MaxOutputTokenCount = 20, Seed = 1, EndUserId = "conversation" };
        ChatCompletion first = await Chat.CompleteChatAsync([new UserChatMessage("Once upon a time")], options, Cancellation);
        ChatCompletion second = await Chat.CompleteChatAsync(
            [new UserChatMessage("Once upon a time"), new AssistantChatMessage(first.Content[0].Text)], options, Cancellation);
        Assert.True(second.Usage.InputTokenDetails.CachedTokenCount > 15, $"{second.Usage.InputTokenDetails.CachedTokenCount} tokens");
        ChatCompletion third = await Chat.CompleteChatAsync([new UserChatMessage("Once upon a time"),
            new AssistantChatMessage(first.Content[0].Text), new UserChatMessage("The end.")], options, Cancellation);
        Assert.NotEqual("", third.Content[0].Text);
    }

    [Fact]
    public async Task Embeddings_are_vectors_of_length_one_and_texts_alike_have_vectors_alike()
    {
        EmbeddingClient client = _client.GetEmbeddingClient("tales659K");
        OpenAIEmbeddingCollection vectors = await client.GenerateEmbeddingsAsync(
            ["The cat sat.", "The cat sat.", "One day, the big red plane flew home."], cancellationToken: Cancellation);
        float[][] values = [.. vectors.Select(vector => vector.ToFloats().ToArray())];
        Assert.Equal(96, values[0].Length);
        Assert.All(values, value => Assert.Equal(1, value.Sum(x => (double)x * x), 1e-5));
        Assert.Equal(values[0], values[1]);
        Assert.NotEqual(values[0], values[2]);
        Assert.True(vectors.Usage.InputTokenCount > 10);
    }

    [Fact]
    public async Task Who_cancels_is_heard_and_errors_have_their_status()
    {
        using CancellationTokenSource cancel = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (StreamingChatCompletionUpdate _ in Chat.CompleteChatStreamingAsync(Messages, null, cancel.Token))
                await cancel.CancelAsync();
        });
        await RunningServer.UntilAsync(async () => await story.Server.BusyAsync() == 0);

        ChatCompletionOptions format = new() { ResponseFormat = ChatResponseFormat.CreateJsonObjectFormat() };
        ClientResultException refused =
            await Assert.ThrowsAsync<ClientResultException>(() => Chat.CompleteChatAsync(Messages, format, Cancellation));
        Assert.Equal(400, refused.Status);
        Assert.Contains("response_format", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_list_of_models_has_the_one_that_is_served() => Assert.Equal(["tales659K"],
        (await _client.GetOpenAIModelClient().GetModelsAsync(Cancellation)).Value.Select(model => model.Id));
}
