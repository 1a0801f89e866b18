using System.Text.RegularExpressions;
using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Llama2.Tests.Cli.Server;

/// <summary>The page at /: by itself, and in a browser.</summary>
public sealed partial class PageTests(StoryServer story, Chromium chromium) : IClassFixture<StoryServer>, IClassFixture<Chromium>
{
    [Fact]
    public async Task It_asks_nobody_but_this_server()
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/") { Headers = { { "Accept", "text/html,*/*;q=0.8" } } };
        using HttpResponseMessage response = await story.Server.Client.SendAsync(request);
        string page = await response.Content.ReadAsStringAsync();
        Assert.Equal("text/html; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        Assert.Contains("default-src 'none'", response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.DoesNotMatch("https?://|src=|@import|innerHTML", page);
        Assert.StartsWith("<!DOCTYPE html>\n<html lang=\"en\">", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_talks_stops_edits_regenerates_and_finds_all_again_after_a_reload()
    {
        using TestFolder folder = new();
        await using RunningServer server = await RunningServer.StartAsync(EndlessModel.Write(folder.Path), "--template", "plain");
        await using IBrowserContext user = await chromium.NewUserAsync();
        IPage page = await user.NewPageAsync();
        await page.GotoAsync(server.Url);
        await Expect(page.Locator("#model")).ToHaveTextAsync("endless");

        // an answer with a limit, sent by the keyboard
        await page.Locator("summary").ClickAsync();
        await page.GetByLabel("Tokens at most").FillAsync("12");
        await page.GetByLabel("Seed").FillAsync("1"); // texts of other seeds may end at once
        await Prompt(page).FocusAsync();
        await page.Keyboard.TypeAsync("Once");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.Locator(".note")).ToHaveTextAsync(OfTwelve());
        string first = await Answer(page).InnerTextAsync();
        Assert.NotEqual("", first);

        // the same seed, the same answer
        await Button(page, "Answer again").ClickAsync();
        await Expect(page.Locator(".note")).ToHaveTextAsync(OfTwelve());
        await Expect(Answer(page)).ToHaveTextAsync(first);

        // an endless one, stopped by the keyboard
        await page.GetByLabel("Tokens at most").FillAsync("");
        await SendAsync(page, "And");
        await Expect(Answer(page)).ToHaveTextAsync(Long());
        await page.Keyboard.PressAsync("Escape");
        await Expect(Button(page, "Send")).ToBeVisibleAsync();
        await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0);
        await Expect(page.Locator("#log li")).ToHaveCountAsync(4);
        await Expect(page.Locator("#error")).ToBeEmptyAsync();

        // kept over a reload, and edited
        await page.ReloadAsync();
        await Expect(page.Locator("#log li")).ToHaveCountAsync(4);
        await Expect(page.Locator("#chats option:checked")).ToHaveTextAsync("Once");
        await Button(page, "Edit this message").Nth(1).ClickAsync();
        await Expect(page.Locator("#log li")).ToHaveCountAsync(2);
        await Expect(Prompt(page)).ToHaveValueAsync("And");

        // left in the middle of an answer: what has come of it is there
        await Button(page, "Send").ClickAsync();
        await Expect(Answer(page)).ToHaveTextAsync(Long());
        await page.GotoAsync(server.Url + "/?left");
        await RunningServer.UntilAsync(async () => await server.BusyAsync() == 0);
        await Expect(page.Locator("#log li")).ToHaveCountAsync(4);
        await Expect(Answer(page)).ToHaveTextAsync(Long());
    }

    [Fact]
    public async Task An_answer_that_does_not_come_can_be_left_stopped_and_asked_for_again()
    {
        await using IBrowserContext user = await NewUserOfShortAnswersAsync();
        IPage page = await user.NewPageAsync();
        await page.GotoAsync(story.Server.Url);
        await AskAsync(page, "One");
        await page.RouteAsync("**/v1/chat/completions", _ => { }); // nobody answers
        await SendAsync(page, "Two");
        await Expect(Button(page, "Stop")).ToBeFocusedAsync();

        // left: it is waited for no more, though browsers may keep the page for "back"
        await page.EvaluateAsync("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))");
        await Expect(Button(page, "Send")).ToBeVisibleAsync();

        // edited meanwhile: only what follows the message goes
        await Button(page, "Send").ClickAsync();
        await Expect(Button(page, "Stop")).ToBeVisibleAsync();
        await Button(page, "Edit this message").Nth(1).ClickAsync();
        await Expect(Button(page, "Send")).ToBeVisibleAsync();
        await Expect(page.Locator("#log li")).ToHaveCountAsync(2);
        await Expect(Prompt(page)).ToHaveValueAsync("Two");

        // stopped before it began: there is a button to ask again
        await Button(page, "Send").ClickAsync();
        await page.Keyboard.PressAsync("Escape");
        await Expect(page.Locator("#log li")).ToHaveCountAsync(3);
        await page.UnrouteAllAsync();
        await Button(page, "Answer this message").ClickAsync();
        await Expect(page.Locator(".note")).ToHaveCountAsync(2);
    }

    [Theory]
    [InlineData(ColorScheme.Light)]
    [InlineData(ColorScheme.Dark)]
    public async Task On_a_telephone_it_has_its_width_and_axe_finds_nothing(ColorScheme scheme)
    {
        BrowserNewContextOptions telephone = new()
        {
            ViewportSize = new() { Width = 360, Height = 640 },
            IsMobile = true,
            HasTouch = true,
            ColorScheme = scheme,
        };
        await using IBrowserContext user = await NewUserOfShortAnswersAsync(telephone);
        IPage page = await user.NewPageAsync();
        await page.GotoAsync(story.Server.Url);
        Assert.Equal(scheme == ColorScheme.Dark ? "dark" : "light", await page.Locator("html").GetAttributeAsync("data-theme"));
        await AskAsync(page, "One");
        await CheckAsync();
        await page.Locator("summary").TapAsync();
        await CheckAsync();

        async Task CheckAsync()
        {
            Assert.InRange(await page.EvaluateAsync<int>("document.documentElement.scrollWidth"), 1, 360);
            AxeResult result = await page.RunAxe();
            Assert.Empty(result.Violations.Select(one => $"{one.Id}: {string.Join(' ', one.Nodes.Select(node => node.Html))}"));
        }
    }

    [Fact]
    public async Task Two_tabs_keep_each_others_conversations()
    {
        await using IBrowserContext user = await NewUserOfShortAnswersAsync();
        (IPage first, IPage second) = (await user.NewPageAsync(), await user.NewPageAsync());
        await first.GotoAsync(story.Server.Url);
        await first.EvaluateAsync("localStorage.setItem('llama2.chats', '[' + ['New', 'Old'].map(title => `"
            + "{\"id\":\"${title}\",\"title\":\"${title}\",\"system\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}`) + ']')");
        await first.ReloadAsync(); // with what an earlier page kept
        await second.GotoAsync(story.Server.Url);
        await Titles(first, "New", "Old");
        await Titles(second, "New", "Old");

        // each begins one; both are kept, and each tab lists the other's
        await Button(first, "New").ClickAsync();
        await AskAsync(first, "One");
        await Button(second, "New").ClickAsync();
        await AskAsync(second, "Two");
        await Titles(first, "Two", "One", "New", "Old");
        await Titles(second, "Two", "One", "New", "Old");
        await Shows(first, "One");
        await first.ReloadAsync();
        await Titles(first, "Two", "One", "New", "Old");

        // the same one in both: what is said in one tab is shown in the other, unless it is in the middle of an answer
        await Shows(first, "Two");
        await AskAsync(first, "More");
        await Expect(second.Locator("#log li")).ToHaveCountAsync(4);
        await first.EvaluateAsync("""
            () => {
              window.fetch = async (_, options) => new Response(new ReadableStream({ start(answer) {
                answer.enqueue(new TextEncoder().encode('data: {"choices":[{"delta":{"content":"Well"}}]}\n\n'));
                options.signal.onabort = () => answer.error(options.signal.reason);
              }}));
            }
            """);
        await SendAsync(first, "On");
        await Expect(Answer(first)).ToHaveTextAsync("Well");
        await AskAsync(second, "Other");
        await Titles(first, "Two", "Two", "One", "New", "Old");
        await Button(first, "Stop").ClickAsync();
        await Titles(second, "Two", "Two", "One", "New", "Old");
        await Said(first, "On");
        await Said(second, "Other");

        // deleted in one: gone from both
        second.Dialog += (_, dialog) => _ = dialog.AcceptAsync();
        await Button(second, "Delete").ClickAsync();
        await Titles(first, "Two", "One", "New", "Old");
        await Said(first, "On");
        await second.ReloadAsync();
        await Titles(second, "Two", "One", "New", "Old");
        await Said(second, "On");

        static Task Titles(IPage tab, params string[] titles) => Expect(tab.Locator("#chats option")).ToHaveTextAsync(titles);

        static Task Shows(IPage tab, string title) => Expect(tab.Locator("#chats option:checked")).ToHaveTextAsync(title);

        static Task Said(IPage tab, string text) => Expect(tab.Locator("#log .user .text").Last).ToHaveTextAsync(text);
    }

    private async Task<IBrowserContext> NewUserOfShortAnswersAsync(BrowserNewContextOptions? options = null)
    {
        IBrowserContext user = await chromium.NewUserAsync(options);
        await user.AddInitScriptAsync("localStorage.setItem('llama2.settings', '{\"seed\":\"1\",\"max_tokens\":\"5\"}')");
        return user;
    }

    private static ILocator Button(IPage page, string name) => page.GetByRole(AriaRole.Button, new() { Name = name, Exact = true });

    private static ILocator Prompt(IPage page) => page.GetByLabel("Message", new() { Exact = true });

    private static ILocator Answer(IPage page) => page.Locator("#log .assistant .text").Last;

    private static async Task SendAsync(IPage page, string text)
    {
        await Prompt(page).FillAsync(text);
        await Button(page, "Send").ClickAsync();
    }

    /// <summary>Sends a message and waits for the whole answer.</summary>
    private static async Task AskAsync(IPage page, string text)
    {
        int answers = await page.Locator(".note").CountAsync();
        await SendAsync(page, text);
        await Expect(page.Locator(".note")).ToHaveCountAsync(answers + 1);
    }

    [GeneratedRegex(@"^12 tokens, .* tok/s, first after \d+ ms$")]
    private static partial Regex OfTwelve();

    [GeneratedRegex("(?s)^.{50}")]
    private static partial Regex Long();
}
