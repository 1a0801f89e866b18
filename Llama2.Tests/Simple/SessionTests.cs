using Llama2.Simple;

namespace Llama2.Tests.Simple;

public sealed class SessionTests
{
    private const int Vocab = 6;

    /// <summary>A model whose logits are its number of rows so far, and which remembers how many came in each call.</summary>
    private sealed class CountingModel : ITransformer
    {
        private int _rows;

        public Config Config { get; } = new(2, 2, 1, 1, 1, Vocab, 64);

        public List<int> Calls { get; } = [];

        public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
        {
            Rows.Prepare(Config, rows, output);
            Calls.Add(rows.Length);
            foreach (Row row in rows)
            {
                row.Cache.Advance();
                output[..Rows.OutputLength(Config, row.Want)].Fill(++_rows);
                output = output[Rows.OutputLength(Config, row.Want)..];
            }
        }

        public void Dispose()
        {
        }
    }

    [Fact]
    public void A_prompt_is_fed_in_batches_and_only_its_last_token_asks_for_logits()
    {
        using CountingModel model = new();
        Session session = new(model, new Sampler(Vocab, 0, 0, 1)) { BatchSize = 3 };
        session.Feed([1, 2, 3, 4, 5, 0, 1], TestContext.Current.CancellationToken);
        Assert.Equal([3, 3, 1], model.Calls);
        Assert.All(session.Logits.ToArray(), logit => Assert.Equal(7, logit));
        Assert.Equal((7, 7), (session.Tokens.Length, session.Cache.Length));
    }

    [Fact]
    public void A_visitor_sees_the_logits_after_every_token()
    {
        using CountingModel model = new();
        List<float> seen = [];
        Session session = new(model, new Sampler(Vocab, 0, 0, 1))
        {
            OnLogits = logits =>
            {
                Assert.Equal(Vocab, logits.Length);
                seen.Add(logits[^1]);
            },
        };
        session.Feed([1, 2, 3, 4], TestContext.Current.CancellationToken);
        Assert.Equal([1, 2, 3, 4], seen);
    }

    [Fact]
    public void What_was_fed_when_it_was_cancelled_stays()
    {
        using CountingModel model = new();
        using CancellationTokenSource source = new();
        Session session = new(model, new Sampler(Vocab, 0, 0, 1))
        {
            OnLogits = logits =>
            {
                if (logits[0] == 3)
                    source.Cancel();
            },
        };
        Assert.Throws<OperationCanceledException>(() => session.Feed([1, 2, 3, 4, 5], source.Token));
        Assert.Equal([1, 2, 3], session.Tokens.ToArray());
        Assert.Equal(3, session.Cache.Length);
    }

    [Fact]
    public void Nothing_fed_together_is_nothing() => Session.FeedTogether([]);

    [Fact]
    public void Tokens_without_a_cache_are_refused()
    {
        using CountingModel model = new();
        Assert.Contains("2 tokens for a cache of 0", Assert.Throws<ArgumentException>(() => new Session(model, new Sampler(Vocab, 0, 0, 1), null, [1, 2])).Message, StringComparison.Ordinal);
    }
}
