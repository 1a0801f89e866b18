using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace Llama2.Tests.Cli.Server;

/// <summary>Texts of slots in files: saved, erased and restored, the answers are the same.</summary>
public sealed class SlotTests : IDisposable
{
    private const string Prompt = "Once upon a time, there was a little girl named Lily. She";

    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static object Body(string prompt = Prompt) => new { prompt, seed = 5, temperature = 0.9, max_tokens = 40 };

    private static async Task<(string Text, int Cached)> AskAsync(RunningServer server, object body)
    {
        (_, JsonNode answer) = await server.PostAsync("/v1/completions", body);
        return ((string)answer["choices"]![0]!["text"]!, (int)answer["usage"]!["prompt_tokens_details"]!["cached_tokens"]!);
    }

    [Theory]
    [InlineData("auto")]
    [InlineData("self")]
    public async Task A_slot_that_was_saved_erased_and_restored_gives_the_same_bytes(string speculate)
    {
        string[] args = ["--pods", "1", "--slot-save-path", _folder.Path, "--speculate", speculate];
        string text;
        await using (RunningServer server = await RunningServer.StartAsync(args))
        {
            (text, int cached) = await AskAsync(server, Body());
            Assert.Equal(0, cached);
            (int status, JsonNode saved) = await server.PostAsync("/slots/0?action=save", new { filename = "lily" });
            Assert.Equal((200, 0, "lily"), (status, (int)saved["id_slot"]!, (string)saved["filename"]!));
            Assert.Equal(new FileInfo(_folder.File("lily")).Length, (long)saved["n_written"]!);
            JsonNode erased = (await server.PostAsync("/slots/0?action=erase", new { })).Body;
            Assert.Equal((int)saved["n_saved"]!, (int)erased["n_erased"]!);
            Assert.Equal((text, 0), await AskAsync(server, Body()));

            await server.PostAsync("/slots/0?action=erase", new { });
            JsonNode restored = (await server.PostAsync("/slots/0?action=restore", new { filename = "lily" })).Body;
            Assert.Equal((int)saved["n_saved"]!, (int)restored["n_restored"]!);
            (string again, cached) = await AskAsync(server, Body());
            Assert.Equal(text, again);
            Assert.InRange(cached, 5, 60);
        }
        await using RunningServer another = await RunningServer.StartAsync(args); // which has read nothing
        Assert.Equal(200, (await another.PostAsync("/slots/0?action=restore", new { filename = "lily" })).Status);
        (string later, int warm) = await AskAsync(another, Body());
        Assert.Equal(text, later);
        Assert.InRange(warm, 5, 60);
    }

    [Fact]
    public async Task What_one_key_saved_is_nothing_to_another()
    {
        await using RunningServer server = await RunningServer.StartAsync(
            "--pods", "1", "--slot-save-path", _folder.Path, "--api-key", "first", "--api-key", "second");
        Assert.Equal(200, (await SendAsync("first", "/v1/completions", Body())).Status);
        Assert.Equal(404, (await SendAsync("second", "/slots/0?action=save", new { filename = "lily" })).Status);
        Assert.Equal(200, (await SendAsync("first", "/slots/0?action=save", new { filename = "lily" })).Status);
        Assert.Equal(404, (await SendAsync("second", "/slots/0?action=restore", new { filename = "lily" })).Status);
        Assert.Equal(404, (await SendAsync("first", "/slots/0?action=restore", new { filename = "lily", user = "x" })).Status);
        Assert.Equal(0, (int)(await SendAsync("second", "/slots/0?action=erase", new { })).Body["n_erased"]!);
        Assert.Equal(200, (await SendAsync("first", "/slots/0?action=restore", new { filename = "lily" })).Status);
        Assert.Equal(401, (await SendAsync("third", "/slots/0?action=erase", new { })).Status);
        string file = Assert.Single(Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories));
        Assert.DoesNotContain("first", file, StringComparison.Ordinal);

        async Task<(int Status, JsonNode Body)> SendAsync(string key, string path, object body)
        {
            using HttpRequestMessage request = new(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
            request.Headers.Authorization = new("Bearer", key);
            using HttpResponseMessage response = await server.Client.SendAsync(request, TestContext.Current.CancellationToken);
            return ((int)response.StatusCode, JsonNode.Parse(await response.Content.ReadAsStringAsync())!);
        }
    }

    [Fact]
    public async Task Names_that_are_paths_files_that_are_no_sessions_and_slots_that_are_none_are_refused()
    {
        string folder = Directory.CreateDirectory(_folder.File("slots")).FullName;
        File.WriteAllText(_folder.File("outside"), "");
        File.WriteAllText(Path.Combine(folder, "text"), "no session");
        await using RunningServer server = await RunningServer.StartAsync("--pods", "1", "--slot-save-path", folder);
        await AskAsync(server, Body());
        string[] names = ["", ".", "..", "../outside", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", " a", "a.", "C:a", "/tmp/a"];
        foreach (string name in names.Append(new string('a', 201)))
        {
            Assert.Equal(400, (await server.PostAsync("/slots/0?action=save", new { filename = name })).Status);
            Assert.Equal(400, (await server.PostAsync("/slots/0?action=restore", new { filename = name })).Status);
        }
        Assert.Equal(404, (await server.PostAsync("/slots/0?action=restore", new { filename = "outside" })).Status);
        (int status, JsonNode body) = await server.PostAsync("/slots/0?action=restore", new { filename = "text" });
        Assert.Equal(400, status);
        Assert.DoesNotContain(folder, body.ToJsonString(), StringComparison.Ordinal);
        Assert.Equal(400, (await server.PostAsync("/slots/0?action=save", new { })).Status);
        Assert.Equal(400, (await server.PostAsync("/slots/0?action=save", new { filename = 7 })).Status);
        Assert.Equal(400, (await server.PostAsync("/slots/0?action=sell", new { filename = "a" })).Status);
        Assert.Equal(400, (await server.PostAsync("/slots/0", new { filename = "a" })).Status);
        foreach (string id in (string[])["1", "-1", "x", "0/0", "99999999999"])
            Assert.Equal(404, (await server.PostAsync($"/slots/{id}?action=erase", new { })).Status);
        Assert.Equal(["text"], Directory.GetFiles(folder).Select(Path.GetFileName));

        using HttpResponseMessage bare = await server.Client.PostAsync("/slots/0?action=erase", null);
        Assert.Equal(200, (int)bare.StatusCode);
    }

    [Theory]
    [InlineData("link")]
    [InlineData("dangling link")]
    [InlineData("loop of links")]
    [InlineData("fifo")]
    [InlineData("folder")]
    public async Task What_somebody_planted_under_a_name_is_neither_written_nor_read(string what)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs mkfifo, and links that need no right");
        string folder = Directory.CreateDirectory(_folder.File("slots")).FullName, name = Path.Combine(folder, "name");
        string victim = _folder.File("victim");
        await using RunningServer server = await RunningServer.StartAsync("--pods", "1", "--slot-save-path", folder);
        await AskAsync(server, Body());
        Assert.Equal(200, (await server.PostAsync("/slots/0?action=save", new { filename = "good" })).Status);
        File.Copy(Path.Combine(folder, "good"), victim);
        if (what == "fifo")
            System.Diagnostics.Process.Start("mkfifo", [name]).WaitForExit();
        else if (what == "folder")
            Directory.CreateDirectory(name);
        else
            File.CreateSymbolicLink(name, what == "link" ? victim : what == "loop of links" ? name : _folder.File("none"));
        byte[] before = File.ReadAllBytes(victim);
        await AskAsync(server, Body());
        foreach (string action in (string[])["save", "restore"])
        {
            (int status, JsonNode body) = await server.PostAsync($"/slots/0?action={action}", new { filename = "name" });
            Assert.Equal((400, "filename: expected a file, found a folder, a link or a device of this name"),
                (status, (string?)body["error"]!["message"]));
        }
        Assert.Equal(before, File.ReadAllBytes(victim));
        Assert.False(File.Exists(_folder.File("none")));
    }

    [Fact]
    public async Task A_folder_that_cannot_be_written_is_an_error_that_does_not_name_it()
    {
        string folder = Directory.CreateDirectory(_folder.File("slots")).FullName;
        await using RunningServer server = await RunningServer.StartAsync("--pods", "1", "--slot-save-path", folder);
        await AskAsync(server, Body());
        Directory.Delete(folder);
        File.WriteAllText(folder, "");
        (int status, JsonNode body) = await server.PostAsync("/slots/0?action=save", new { filename = "name" });
        Assert.Equal((500, "not_saved"), (status, (string?)body["error"]!["code"]));
        Assert.StartsWith("the slot cannot be saved: ", (string?)body["error"]!["message"], StringComparison.Ordinal);
        Assert.DoesNotContain(folder, body.ToJsonString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_folder_nothing_is_saved()
    {
        await using RunningServer server = await RunningServer.StartAsync();
        (int status, JsonNode body) = await server.PostAsync("/slots/0?action=save", new { filename = "a" });
        Assert.Equal(501, status);
        Assert.Contains("--slot-save-path", (string)body["error"]!["message"]!, StringComparison.Ordinal);
        BuiltProgram refused = BuiltProgram.Run(["serve", "--slot-save-path", _folder.File("none")]);
        Assert.Equal(1, refused.ExitCode);
    }
}
