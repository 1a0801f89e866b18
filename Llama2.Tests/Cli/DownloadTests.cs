using System.Security.Cryptography;
using static Llama2.Tests.Cli.FaultyServer;

namespace Llama2.Tests.Cli;

/// <summary>Whatever a server does, what lies under the final name is whole and right, or is what was there before.</summary>
public sealed class DownloadTests : FolderTests
{
    private static readonly byte[] Contents = RandomContents(300_000);
    private static readonly string Sha256 = Convert.ToHexStringLower(SHA256.HashData(Contents));

    private readonly List<string> _retries = [];

    private string Target => At("model.bin");

    private string Part => Target + ".part";

    [Fact]
    public async Task A_good_server_is_asked_once()
    {
        using FaultyServer server = new(_ => new Reply(Contents));
        await DownloadAsync(server, Sha256, Contents.Length);
        AssertWhole();
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_sha1_is_verified_as_well()
    {
        using FaultyServer server = new(_ => new Reply(Contents));
#pragma warning disable CA5350 // some files have no better checksum
        await DownloadAsync(server, Convert.ToHexStringLower(SHA1.HashData(Contents)));
#pragma warning restore CA5350
        AssertWhole();
        await AssertFailsAsync(server, "checksum: expected 00", new string('0', 40));
    }

    [Fact]
    public async Task Cut_connections_go_on_where_they_stopped()
    {
        using FaultyServer server = new(_ => new Reply(Contents) { CutAfter = 40_000 });
        await DownloadAsync(server, Sha256);
        AssertWhole();
        Assert.Equal([null, 40_000, 80_000, 120_000, 160_000, 200_000, 240_000, 280_000], server.Requests.Select(request => request.From));
    }

    [Fact]
    public async Task Without_a_checksum_an_etag_allows_going_on()
    {
        using FaultyServer server = new(_ => new Reply(Contents) { CutAfter = 200_000, Headers = ["ETag: \"one\""] });
        await DownloadAsync(server);
        AssertWhole();
        Assert.Equal("\"one\"", server.Requests.Last().Headers["If-Range"]);
    }

    [Fact]
    public async Task A_file_that_changes_meanwhile_is_fetched_anew()
    {
        byte[] old = RandomContents(Contents.Length, seed: 2);
        int count = 0;
        using FaultyServer server = new(_ => count++ == 0
            ? new Reply(old) { CutAfter = 100_000, Headers = ["ETag: \"old\""] }
            : new Reply(Contents) { Headers = ["ETag: \"new\""] }); // ignores If-Range
        await DownloadAsync(server);
        AssertWhole();
    }

    [Fact]
    public async Task Without_checksum_or_etag_it_begins_again()
    {
        int count = 0;
        using FaultyServer server = new(_ => new Reply(Contents) { CutAfter = count++ < 2 ? 100_000 : null });
        await DownloadAsync(server);
        AssertWhole();
        Assert.All(server.Requests, request => Assert.Null(request.From));
    }

    [Fact]
    public async Task An_earlier_runs_part_is_used()
    {
        File.WriteAllBytes(Part, Contents[..250_000]);
        using FaultyServer server = new(_ => new Reply(Contents));
        await DownloadAsync(server, Sha256);
        AssertWhole();
        Assert.Equal(250_000, Assert.Single(server.Requests).From);
    }

    [Fact]
    public async Task A_complete_part_is_only_verified()
    {
        File.WriteAllBytes(Part, Contents);
        using FaultyServer server = new(_ => new Reply(Contents));
        await DownloadAsync(server, Sha256);
        AssertWhole();
        Assert.Equal(300_000, Assert.Single(server.Requests).From); // of which the server has none
    }

    [Theory]
    [InlineData(100_000)]
    [InlineData(300_000)]
    [InlineData(400_000)]
    public async Task An_earlier_runs_part_of_something_else_is_thrown_away(int length)
    {
        File.WriteAllBytes(Part, RandomContents(length, seed: 3));
        using FaultyServer server = new(_ => new Reply(Contents));
        await DownloadAsync(server, Sha256);
        AssertWhole();
    }

    [Fact]
    public async Task An_earlier_runs_part_that_nothing_can_verify_is_not_used()
    {
        File.WriteAllBytes(Part, RandomContents(100_000, seed: 3));
        using FaultyServer server = new(_ => new Reply(Contents));
        await DownloadAsync(server);
        AssertWhole();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_checksum_that_comes_with_the_answer_or_a_redirect_counts(bool redirect)
    {
        File.WriteAllBytes(Part, Contents[..1000]);
        string linked = $"X-Linked-Etag: \"{Sha256}\"";
        using FaultyServer server = new(request => !redirect ? new Reply(Contents) { Headers = [linked] }
            : request.Target == "/model.bin" ? new Reply([]) { Status = 302, Headers = [linked, "Location: /elsewhere"] }
                : new Reply(Contents));
        Download download = await DownloadAsync(server);
        AssertWhole();
        Assert.True(download.IsVerified);
        Assert.Equal(1000, server.Requests.Last().From);

        File.Delete(Target);
        linked = $"X-Linked-Etag: \"{new string('0', 64)}\"";
        await AssertFailsAsync(server, "checksum: expected 00");
    }

    [Fact]
    public async Task A_server_that_ignores_ranges_sends_all_again()
    {
        File.WriteAllBytes(Part, Contents[..1000]);
        using FaultyServer server = new(_ => new Reply(Contents) { IgnoreRange = true });
        await DownloadAsync(server, Sha256);
        AssertWhole();
    }

    [Fact]
    public async Task A_range_that_begins_elsewhere_is_not_appended()
    {
        File.WriteAllBytes(Part, Contents[..1000]);
        using FaultyServer server = new(_ => new Reply(Contents) { ShiftRange = 1 });
        await DownloadAsync(server, Sha256);
        AssertWhole();
        Assert.Equal([1000, null], server.Requests.Select(request => request.From));
    }

    [Fact]
    public async Task A_wrong_byte_leaves_nothing()
    {
        byte[] wrong = [.. Contents];
        wrong[^1] ^= 1;
        using FaultyServer server = new(_ => new Reply(wrong));
        await AssertFailsAsync(server, $"checksum: expected {Sha256}, found ", Sha256);
        Assert.False(File.Exists(Part));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task A_length_other_than_the_known_one_is_refused_before_the_part_is_touched(int lie)
    {
        File.WriteAllBytes(Part, Contents[..1000]);
        using FaultyServer server = new(_ => new Reply(Contents) { LieAboutLength = lie });
        await AssertFailsAsync(server, $"length: expected 300000 bytes, found {300_000 + lie}", Sha256, Contents.Length);
        Assert.Equal(Contents[..1000], File.ReadAllBytes(Part));
    }

    [Fact]
    public async Task A_length_that_is_never_reached_gives_up()
    {
        using FaultyServer server = new(_ => new Reply(Contents) { LieAboutLength = 5 });
        await AssertFailsAsync(server, "300000 bytes of 300005 (5 attempts)");
    }

    [Fact]
    public async Task A_length_that_is_too_small_is_found_by_the_checksum()
    {
        using FaultyServer server = new(_ => new Reply(Contents) { LieAboutLength = -5 });
        await AssertFailsAsync(server, $"checksum: expected {Sha256}", Sha256);
    }

    [Theory]
    [InlineData(404, 1)]
    [InlineData(403, 1)]
    [InlineData(500, 5)]
    [InlineData(503, 5)]
    [InlineData(429, 5)]
    public async Task An_error_is_repeated_only_if_it_may_go_away(int status, int attempts)
    {
        using FaultyServer server = new(_ => new Reply([1, 2, 3]) { Status = status });
        await AssertFailsAsync(server, $"the server answers {status}", Sha256);
        Assert.Equal(attempts, server.Requests.Count);
        Assert.Equal(attempts - 1, _retries.Count);
        Assert.False(File.Exists(Part));
    }

    [Fact]
    public async Task An_error_that_goes_away_does_no_harm()
    {
        int count = 0;
        using FaultyServer server = new(_ => count++ < 3 ? new Reply("sorry"u8.ToArray()) { Status = 500 } : new Reply(Contents));
        await DownloadAsync(server, Sha256);
        AssertWhole();
    }

    [Fact]
    public async Task Nobody_there_gives_up()
    {
        FaultyServer server = new(_ => new Reply([]));
        server.Dispose();
        await AssertFailsAsync(server, "(5 attempts)");
    }

    [Fact]
    public async Task A_silent_connection_is_dropped_and_goes_on()
    {
        int count = 0;
        using FaultyServer server = new(_ => new Reply(Contents) { Stalls = count++ == 0 });
        await DownloadAsync(server, Sha256, patience: TimeSpan.FromSeconds(5));
        AssertWhole();
        Assert.Equal([null, 1], server.Requests.Select(request => request.From));
    }

    [Theory]
    [InlineData("/model.bin", "more than 10 redirects")]
    [InlineData("ftp://127.0.0.1/model.bin", "refused a redirect to ftp:")]
    public async Task Redirects_end(string location, string message)
    {
        using FaultyServer server = new(_ => new Reply([]) { Status = 302, Headers = ["Location: " + location] });
        await AssertFailsAsync(server, message);
        Assert.False(File.Exists(Part));
    }

    [Fact]
    public async Task A_byte_a_connection_is_no_progress()
    {
        using FaultyServer server = new(_ => new Reply(Contents) { CutAfter = 1 });
        await AssertFailsAsync(server, "(5 attempts)", Sha256);
        Assert.Equal(5, server.Requests.Count);
    }

    [Fact]
    public async Task A_file_longer_than_the_bound_is_refused_and_leaves_nothing()
    {
        using FaultyServer server = new(_ => new Reply(Contents));
        using HttpClient http = Download.CreateClient();
        Download download = new(http, Remote(server), Target) { MaxLength = Contents.Length - 1 };
        DownloadException e = await Assert.ThrowsAsync<DownloadException>(() => download.RunAsync(TestContext.Current.CancellationToken));
        Assert.Contains($"expected at most 299999 bytes (see --max-gb), found 300000", e.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Folder));
    }

    [Fact]
    public async Task Two_at_once_do_not_mix_until_the_file_has_its_name()
    {
        using FaultyServer server = new(_ => new Reply(Contents));
        using HttpClient http = Download.CreateClient();
        Task? other = null;
        Download first = new(http, Remote(server), Target)
        {
            Check = _ => other = new Download(http, Remote(server), Target).RunAsync(TestContext.Current.CancellationToken),
        };
        await first.RunAsync(TestContext.Current.CancellationToken);
        AssertWhole();
        await Assert.ThrowsAsync<OutputException>(() => other!);
    }

    [Fact]
    public async Task A_file_that_is_refused_by_its_contents_leaves_nothing()
    {
        using FaultyServer server = new(_ => new Reply(Contents));
        using HttpClient http = Download.CreateClient();
        Download download = new(http, Remote(server), Target) { Check = _ => throw new InvalidDataException() };
        await Assert.ThrowsAsync<InvalidDataException>(() => download.RunAsync(TestContext.Current.CancellationToken));
        Assert.Empty(Directory.GetFiles(Folder));
    }

    [Fact]
    public async Task Cancelling_keeps_what_came_and_the_next_run_goes_on()
    {
        using CancellationTokenSource cancel = new();
        using (FaultyServer server = new(_ => new Reply(Contents) { CutAfter = 200_000 }))
        using (HttpClient http = Download.CreateClient())
        {
            Download download = new(http, Remote(server, Sha256), Target) { OnRetry = _ => cancel.Cancel() };
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => download.RunAsync(cancel.Token));
        }
        Assert.False(File.Exists(Target));
        using FaultyServer next = new(_ => new Reply(Contents));
        await DownloadAsync(next, Sha256);
        AssertWhole();
        Assert.Equal(200_000, Assert.Single(next.Requests).From);
    }

    [Fact]
    public async Task Two_at_once_do_not_mix()
    {
        using FaultyServer server = new(_ => new Reply(Contents));
        using HttpClient http = Download.CreateClient();
        List<Task> others = [];
        Download first = new(http, Remote(server), Target)
        {
            OnProgress = (_, _) => others.Add(new Download(http, Remote(server), Target).RunAsync(TestContext.Current.CancellationToken)),
        };
        await first.RunAsync(TestContext.Current.CancellationToken);
        AssertWhole();
        Assert.NotEmpty(others);
        foreach (Task other in others)
            await Assert.ThrowsAsync<OutputException>(() => other);
        Assert.Single(server.Requests);
    }

    private static RemoteFile Remote(FaultyServer server, string? checksum = null, long? length = null) =>
        new(new Uri(server.Address + "/model.bin"), "model.bin", length, checksum);

    private async Task<Download> DownloadAsync(FaultyServer server, string? checksum = null, long? length = null, TimeSpan? patience = null)
    {
        using HttpClient http = Download.CreateClient();
        Download download = new(http, Remote(server, checksum, length), Target)
        {
            Pause = TimeSpan.FromMilliseconds(1),
            Patience = patience ?? TimeSpan.FromSeconds(20),
            OnRetry = _retries.Add,
        };
        await download.RunAsync(TestContext.Current.CancellationToken);
        return download;
    }

    private async Task AssertFailsAsync(FaultyServer server, string message, string? checksum = null, long? length = null)
    {
        File.WriteAllText(Target, "before");
        DownloadException e = await Assert.ThrowsAsync<DownloadException>(() => DownloadAsync(server, checksum, length));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.StartsWith(server.Address, e.Message, StringComparison.Ordinal);
        Assert.Equal("before", File.ReadAllText(Target));
    }

    private void AssertWhole()
    {
        Assert.Equal(Contents, File.ReadAllBytes(Target));
        Assert.False(File.Exists(Part));
    }

    private static byte[] RandomContents(int length, int seed = 1)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
