using System.Diagnostics;
using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class PeerTests
{
    private static readonly PeerInputs Inputs = new("a model.bin", "tok.bin", 64, 3);

    public PeerTests() => Assert.SkipUnless(File.Exists("/bin/sh"), "the peers here are scripts of /bin/sh");

    [Theory]
    [InlineData("echo achieved tok/s: 12.5", 12.5)]
    [InlineData("echo achieved tok/s: 1e3", 1000)]
    [InlineData("echo achieved tok/s: 12.5 >&2", 12.5)]
    [InlineData("echo achieved tok/s: 1; echo achieved tok/s: 2; echo bye", 2)]
    [InlineData("cat; echo achieved tok/s: 7", 7)] // its stdin is at the end
    public void The_rate_is_read_from_either_stream(string script, double expected) => Assert.Equal(expected, Run(script));

    [Fact]
    public void Placeholders_are_filled_in_within_words_that_blanks_or_quotes_part() => Assert.Equal(1,
        Peer.Parse("""p=/bin/sh -c 'test "$1|$2|$3|$4|$5" = "a model.bin|-ztok.bin|64|3 3|Once upon a time" && echo achieved tok/s: 1' x {model} -z{tokenizer} {steps}  "{threads} {threads}" {prompt}""",
            Peer.DefaultPattern, TimeSpan.FromSeconds(60)).Run(Inputs, CancellationToken.None));

    [Fact]
    public void Another_pattern_finds_another_rate() =>
        Assert.Equal(33.25, Peer.Parse("p=/bin/sh -c 'echo eval: 33.25 t/s'", "eval: ([0-9.]+) t/s", TimeSpan.FromSeconds(60)).Run(Inputs, CancellationToken.None));

    [Theory]
    [InlineData("exit 3", "exited with 3")]
    [InlineData("echo out of luck >&2; exit 1", "exited with 1: out of luck")]
    [InlineData("true", "printed nothing that matches")]
    [InlineData("echo tok/s: 5", "printed nothing that matches")]
    [InlineData("echo achieved tok/s: 0.0", "above 0")]
    [InlineData("echo achieved tok/s: 1e999", "above 0")]
    public void A_peer_that_fails_says_why(string script, string why)
    {
        string message = Assert.Throws<PeerException>(() => Run(script)).Message;
        Assert.StartsWith("p: ", message, StringComparison.Ordinal);
        Assert.Contains(why, message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_program_that_is_not_there_says_so() =>
        Assert.Throws<PeerException>(() => Peer.Parse("p=/no/such/program", Peer.DefaultPattern, TimeSpan.FromSeconds(60)).Run(Inputs, CancellationToken.None));

    [Fact]
    public void A_peer_that_hangs_is_ended_with_its_children()
    {
        using TemporaryFile pid = new([]);
        Stopwatch time = Stopwatch.StartNew();
        Peer peer = Peer.Parse($"p=/bin/sh -c 'sleep 100 & echo $! > {pid.Path}; wait'", Peer.DefaultPattern, TimeSpan.FromSeconds(2));
        Assert.Contains("did not end within 2 s", Assert.Throws<PeerException>(() => peer.Run(Inputs, CancellationToken.None)).Message, StringComparison.Ordinal);
        Assert.True(time.Elapsed < TimeSpan.FromSeconds(50));
        int child = int.Parse(File.ReadAllText(pid.Path), System.Globalization.CultureInfo.InvariantCulture);
        Assert.True(HasEnded(child));
    }

    [Theory]
    [InlineData("no command")]
    [InlineData("=x")]
    [InlineData("p=")]
    [InlineData("p=  ")]
    [InlineData("p=run 'it")]
    public void A_malformed_peer_is_bad_usage(string text) => Assert.Throws<UsageException>(() => Peer.Parse(text, Peer.DefaultPattern, TimeSpan.FromSeconds(1)));

    [Theory]
    [InlineData("(")]
    [InlineData("no group")]
    [InlineData("(a)(?=b)")] // needs backtracking
    public void A_malformed_pattern_is_bad_usage(string pattern) => Assert.Throws<UsageException>(() => Peer.Parse("p=x", pattern, TimeSpan.FromSeconds(1)));

    private static double Run(string script) => Peer.Parse($"p=/bin/sh -c '{script}'", Peer.DefaultPattern, TimeSpan.FromSeconds(60)).Run(Inputs, CancellationToken.None);

    private static bool HasEnded(int pid)
    {
        for (int i = 0; i < 100; i++)
        {
            try
            {
                using Process process = Process.GetProcessById(pid);
                Thread.Sleep(50);
            }
            catch (ArgumentException)
            {
                return true;
            }
        }
        return false;
    }
}
