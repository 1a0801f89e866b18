using System.Text.RegularExpressions;
using Llama2.Tests.Bench;

namespace Llama2.Tests.Cli.Server;

/// <summary>The page at /: by itself, and in a browser.</summary>
public sealed partial class PageTests(StoryServer story) : IClassFixture<StoryServer>
{
    private const string Answer = "document.querySelector('#log li:last-child.assistant .text')?.textContent";

    [Fact]
    public async Task It_asks_nobody_but_this_server_and_names_all_that_can_be_used()
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/") { Headers = { { "Accept", "text/html,*/*;q=0.8" } } };
        using HttpResponseMessage response = await story.Server.Client.SendAsync(request);
        string page = await response.Content.ReadAsStringAsync();
        Assert.Equal("text/html; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        Assert.Contains("default-src 'none'", response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.DoesNotMatch("https?://|src=|@import|innerHTML", page);
        Assert.StartsWith("<!DOCTYPE html>\n<html lang=\"en\">", page, StringComparison.Ordinal);
        foreach (Match control in Control().Matches(page))
        {
            string id = control.Groups["id"].Value;
            bool isInLabel = Regex.IsMatch(page, $"<label[^>]*>[^<]+<[^>]* id=\"{id}\"");
            Assert.True(isInLabel || page.Contains($"for=\"{id}\"", StringComparison.Ordinal), $"{id} has no label");
        }
    }

    [Fact]
    public async Task In_a_browser_one_talks_stops_edits_regenerates_and_finds_all_again_after_a_reload()
    {
        Assert.SkipWhen(Browser.Path is null, "there is no Chromium");
        using TestFolder folder = new();
        await using RunningServer server = await RunningServer.StartAsync(EndlessModel.Write(folder.Path), "--template", "plain");
        await using Browser browser = await Browser.StartAsync();
        await browser.OpenAsync(server.Url);
        await browser.UntilAsync("document.querySelector('#model').textContent === 'endless'");

        // an answer with a limit, sent by the keyboard
        await browser.EvaluateAsync("max_tokens.value = 12; seed.value = 1; document.querySelector('#prompt').focus()");
        foreach (char letter in "Once")
            await browser.PressAsync($"{letter}");
        await browser.PressAsync("Enter");
        await browser.UntilAsync("document.querySelector('.note')?.textContent.includes('12 tokens')");
        string first = (string)(await browser.EvaluateAsync(Answer))!;
        Assert.NotEqual("", first);
        Assert.Matches(@"^12 tokens, .* tok/s, first after \d+ ms$",
            (string)(await browser.EvaluateAsync("document.querySelector('.note').textContent"))!);

        // the same seed, the same answer
        await browser.EvaluateAsync("document.querySelector('[aria-label=\"Answer again\"]').click()");
        await browser.UntilAsync("document.querySelector('.note')?.textContent.includes('12 tokens')");
        Assert.Equal(first, (string)(await browser.EvaluateAsync(Answer))!);

        // an endless one, stopped by the keyboard
        await browser.EvaluateAsync(
            "max_tokens.value = ''; document.querySelector('#prompt').value = 'And'; document.querySelector('#send').click()");
        await browser.UntilAsync($"{Answer}?.length > 50 && !document.querySelector('#stop').hidden");
        await browser.PressAsync("Escape");
        await browser.UntilAsync("!document.querySelector('#send').hidden");
        await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0);
        Assert.Equal(4, (int)(await browser.EvaluateAsync("document.querySelectorAll('#log li').length"))!);
        Assert.Equal("", (string)(await browser.EvaluateAsync("document.querySelector('#error').textContent"))!);

        // kept over a reload, and edited
        await browser.OpenAsync(server.Url + "/?again");
        Assert.Equal(4, (int)(await browser.EvaluateAsync("document.querySelectorAll('#log li').length"))!);
        Assert.Equal("Once", (string)(await browser.EvaluateAsync("document.querySelector('#chats').selectedOptions[0].textContent"))!);
        await browser.EvaluateAsync("document.querySelectorAll('[aria-label=\"Edit this message\"]')[1].click()");
        Assert.Equal(2, (int)(await browser.EvaluateAsync("document.querySelectorAll('#log li').length"))!);
        Assert.Equal("And", (string)(await browser.EvaluateAsync("document.querySelector('#prompt').value"))!);

        // left in the middle of an answer: what has come of it is there
        await browser.EvaluateAsync("seed.value = 1; document.querySelector('#send').click()"); // other seeds may end at once
        await browser.UntilAsync($"{Answer}?.length > 50");
        await browser.OpenAsync(server.Url + "/?left");
        await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0);
        Assert.Equal(4, (int)(await browser.EvaluateAsync("document.querySelectorAll('#log li').length"))!);
        Assert.True((bool)(await browser.EvaluateAsync($"{Answer}.length > 50"))!);

        // one that does not come: the focus goes to what stops it
        await browser.EvaluateAsync("""
            window.fetch = (_, options) => new Promise((_, reject) => options.signal.onabort = () => reject(options.signal.reason));
            document.querySelector('#prompt').value = 'But';
            document.querySelector('#send').focus();
            document.querySelector('#send').click()
            """);
        Assert.True((bool)(await browser.EvaluateAsync("document.activeElement === document.querySelector('#stop')"))!);

        // left while the answer is waited for: it is waited for no more, though browsers may keep the page for "back"
        await browser.EvaluateAsync("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))");
        await browser.UntilAsync("!document.querySelector('#send').hidden");
        await browser.EvaluateAsync("document.querySelector('#send').click()");
        Assert.True((bool)(await browser.EvaluateAsync("document.querySelector('#send').hidden"))!);

        // edited while the answer is waited for: only what follows the message goes
        await browser.EvaluateAsync("document.querySelectorAll('[aria-label=\"Edit this message\"]')[2].click()");
        await browser.UntilAsync("!document.querySelector('#send').hidden");
        Assert.Equal(4, (int)(await browser.EvaluateAsync("document.querySelectorAll('#log li').length"))!);

        // lost before it began: there is a button to ask again
        await browser.EvaluateAsync("document.querySelector('#send').click()");
        await browser.PressAsync("Escape");
        await browser.UntilAsync("document.querySelector('#log li:last-child [aria-label=\"Answer this message\"]')");
        Assert.Equal(5, (int)(await browser.EvaluateAsync("document.querySelectorAll('#log li').length"))!);

        // a telephone, light and dark
        object telephone = new { width = 360, height = 640, deviceScaleFactor = 1, mobile = true };
        await browser.CallAsync("Emulation.setDeviceMetricsOverride", telephone);
        for (int themes = 0; themes < 2; themes++)
        {
            await browser.EvaluateAsync("document.querySelector('#details').open = true; document.querySelector('#theme').click()");
            Assert.True((int)(await browser.EvaluateAsync("document.documentElement.scrollWidth"))! <= 360, "it is wider than a telephone");
            await browser.EvaluateAsync("document.querySelector('#details').open = false");
        }
    }

    [Fact]
    public async Task Two_tabs_keep_each_others_conversations()
    {
        Assert.SkipWhen(Browser.Path is null, "there is no Chromium");
        await using Browser first = await Browser.StartAsync();
        await using Browser second = await first.NewTabAsync();
        await first.OpenAsync(story.Server.Url);
        await first.EvaluateAsync("localStorage.setItem('llama2.chats', '[' + ['New', 'Old'].map(title => `"
            + "{\"id\":\"${title}\",\"title\":\"${title}\",\"system\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}`) + ']')");
        await first.OpenAsync(story.Server.Url + "/?again"); // with what an earlier page kept
        await second.OpenAsync(story.Server.Url);
        Assert.Equal("New Old", await Titles(first));
        Assert.Equal("New Old", await Titles(second));

        // each begins one; both are kept, and each tab lists the other's
        await Ask(first, "One", 5);
        await Ask(second, "Two", 5);
        foreach (Browser tab in (Browser[])[first, second])
            await tab.UntilAsync("document.querySelector('#chats').options.length === 4");
        Assert.Equal("Two One New Old", await Titles(first));
        Assert.Equal("One", await Shown(first));
        await first.OpenAsync(story.Server.Url + "/?reload");
        Assert.Equal("Two One New Old", await Titles(first));

        // the same one in both: what is said in one tab is shown in the other, unless it is in the middle of an answer
        Assert.Equal("Two", await Shown(first));
        await Ask(first, "More", 5);
        await second.UntilAsync("document.querySelectorAll('#log li').length === 4");
        await first.EvaluateAsync("""
            window.fetch = async (_, options) => new Response(new ReadableStream({ start(answer) {
              answer.enqueue(new TextEncoder().encode('data: {"choices":[{"delta":{"content":"Well"}}]}\n\n'));
              options.signal.onabort = () => answer.error(options.signal.reason);
            }}));
            document.querySelector('#prompt').value = 'On';
            document.querySelector('#send').click()
            """);
        await first.UntilAsync($"{Answer} === 'Well'");
        await Ask(second, "Other", 5);
        await first.UntilAsync("document.querySelector('#chats').options.length === 5");
        await first.EvaluateAsync("document.querySelector('#stop').click()");
        await second.UntilAsync("document.querySelector('#chats').options.length === 5");
        Assert.Equal("Two Two One New Old", await Titles(second));
        Assert.Equal("On", await Said(first));
        Assert.Equal("Other", await Said(second));

        // deleted in one: gone from both
        await second.EvaluateAsync("window.confirm = () => true; document.querySelector('#delete').click()");
        await first.UntilAsync("document.querySelector('#chats').options.length === 4");
        Assert.Equal("On", await Said(first));
        await second.OpenAsync(story.Server.Url + "/?last");
        Assert.Equal("Two One New Old", await Titles(second));
        Assert.Equal("On", await Said(second));

        static async Task<string> Titles(Browser tab) =>
            (string)(await tab.EvaluateAsync("[...document.querySelector('#chats').options].map(one => one.textContent).join(' ')"))!;

        static async Task<string> Shown(Browser tab) =>
            (string)(await tab.EvaluateAsync("document.querySelector('#chats').selectedOptions[0].textContent"))!;

        static async Task<string> Said(Browser tab) =>
            (string)(await tab.EvaluateAsync("[...document.querySelectorAll('#log .user .text')].at(-1).textContent"))!;

        static async Task Ask(Browser tab, string text, int tokens)
        {
            if (text is "One" or "Two")
                await tab.EvaluateAsync("document.querySelector('#new').click()");
            await tab.EvaluateAsync($"max_tokens.value = {tokens}; document.querySelector('#prompt').value = '{text}';"
                + "document.querySelector('#send').click()");
            await tab.UntilAsync("!document.querySelector('#send').hidden");
        }
    }

    [GeneratedRegex("<(input|select|textarea) [^>]*id=\"(?<id>[a-z_]+)\"|<(input|select|textarea) id=\"(?<id>[a-z_]+)\"")]
    private static partial Regex Control();
}
