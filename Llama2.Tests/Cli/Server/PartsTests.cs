using System.Text;
using Llama2.Cli.Server;
using Llama2.Fast.Engine;
using Llama2.Tests.Fast;
using Microsoft.AspNetCore.Http;

namespace Llama2.Tests.Cli.Server;

/// <summary>Parts of an answer that are ready at once are sent together, but not as many as there are.</summary>
public sealed class PartsTests
{
    private const int Tokens = 200, MaxBytes = 64 << 10, EventBytes = 1500; // with 20 logarithms

    [Fact]
    public async Task A_slow_reader_does_not_make_the_server_write_the_whole_answer_into_memory()
    {
        using GenerationEngine engine = new(new CountingModel());
        using SlowReader reader = new(() => engine.Statistics.GeneratedTokens == Tokens);
        DefaultHttpContext http = new() { Response = { Body = reader } };
        http.Request.Method = "POST";
        http.Request.Path = "/v1/completions";
        http.Request.Body = new MemoryStream(Encoding.UTF8.GetBytes(
            $$"""{"prompt":"a","temperature":0,"max_tokens":{{Tokens}},"ignore_eos":true,"stream":true,"logprobs":20}"""));
        await new Routes(CountingService.Start(engine)).AnswerAsync(http);
        Assert.Equal(2 * (Tokens + 2), reader.LineEnds); // tokens, the reason, the end
        Assert.InRange(reader.LongestWrite, 2 * EventBytes, MaxBytes + EventBytes);
    }

    /// <summary>Takes what is written only when all has been generated.</summary>
    private sealed class SlowReader(Func<bool> mayRead) : MemoryStream
    {
        public int LongestWrite { get; private set; }
        public int LineEnds { get; private set; }

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await RunningServer.UntilAsync(mayRead);
            LongestWrite = Math.Max(LongestWrite, buffer.Length);
            LineEnds += buffer.Span.Count((byte)'\n');
        }
    }
}
