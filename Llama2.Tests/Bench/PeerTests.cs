using System.Diagnostics;
using Llama2.Cli;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class PeerTests
{
    public PeerTests() => Assert.SkipUnless(File.Exists("/bin/sh"), "the peers here are scripts of /bin/sh");

    [Theory]
    [InlineData("echo achieved tok/s: 12.5", 12.5)]
    [InlineData("echo achieved tok/s: 1e3", 1000)]
    [InlineData("echo achieved tok/s: 12.5 >&2", 12.5)]
    [InlineData("echo achieved tok/s: 1; echo achieved tok/s: 2; echo bye", 2)]
    [InlineData("echo \"| CPU | pp512 | 1173.09 |\"; echo \"| CPU |         tg128 |    61.25 ± 0.13 |\"", 61.25)]
    [InlineData("cat; echo achieved tok/s: 7", 7)] // its stdin is at the end
    public void The_rate_is_read_from_either_stream(string script, double expected) =>
        Assert.Equal(expected, Run($"p=/bin/sh -c '{script}'"));

    [Fact]
    public void Placeholders_are_filled_in_within_words_that_blanks_or_quotes_part() => Assert.Equal(1, Run("p=/bin/sh -c "
        + """'test "$1|$2|$3|$4|$5|$6" = "a model.bin|-ztok.bin|64|3 3|Once upon a time|-mx.gguf" && echo achieved tok/s: 1' """
        + """x {model} -z{tokenizer} {steps}  "{threads} {threads}" {prompt} -m{gguf}"""));

    [Fact]
    public void Another_pattern_finds_another_rate() =>
        Assert.Equal(33.25, Run("p=/bin/sh -c 'echo eval: 33.25 t/s'", "eval: ([0-9.]+) t/s"));

    [Theory]
    [InlineData("/bin/sh -c 'exit 3'", "it exited with 3")]
    [InlineData("/bin/sh -c 'echo out of luck >&2; exit 1'", "exited with 1: out of luck")]
    [InlineData("true", "printed nothing that matches")]
    [InlineData("echo tok/s: 5", "printed nothing that matches")]
    [InlineData("echo achieved tok/s: 0.0", "above 0")]
    [InlineData("echo achieved tok/s: 1e999", "above 0")]
    [InlineData("/no/such/program", "/no/such/program")]
    public void A_peer_that_fails_says_why(string command, string why)
    {
        string message = Assert.Throws<UsageException>(() => Run("p=" + command)).Message;
        Assert.StartsWith("p: ", message);
        Assert.Contains(why, message);
    }

    [Fact]
    public void A_peer_that_hangs_is_ended_with_its_children()
    {
        using TemporaryFile pid = new([]);
        string peer = $"p=/bin/sh -c 'sleep 100 & echo $! > {pid.Path}; wait'";
        Assert.Contains("did not end within 2 s", Assert.Throws<UsageException>(() => Run(peer, seconds: 2)).Message);
        string child = File.ReadAllText(pid.Path).Trim(); // empty where a busy machine was too slow to start it
        Assert.True(SpinWait.SpinUntil(() => Process.GetProcesses().All(process => $"{process.Id}" != child), TimeSpan.FromMinutes(1)));
    }

    [Theory]
    [InlineData("no command")]
    [InlineData("=x")]
    [InlineData("p=")]
    [InlineData("p=  ")]
    [InlineData("p=run 'it")]
    [InlineData("p=x", "(")]
    [InlineData("p=x", "no group")]
    public void A_malformed_peer_or_pattern_is_bad_usage(string text, string pattern = Peer.DefaultPattern) =>
        Assert.StartsWith("--peer", Assert.Throws<UsageException>(() => Peer.Parse(text, pattern, TimeSpan.FromSeconds(1))).Message);

    private static double Run(string peer, string pattern = Peer.DefaultPattern, int seconds = 60)
    {
        PeerInputs inputs = new("a model.bin", "tok.bin", new("x.gguf"), 64, 3);
        return Peer.Parse(peer, pattern, TimeSpan.FromSeconds(seconds)).Run(inputs, CancellationToken.None);
    }
}
