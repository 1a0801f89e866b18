using Microsoft.Playwright;

namespace Llama2.Tests.Cli.Server;

/// <summary>The system's Chromium, driven by Playwright.</summary>
public sealed class Chromium : IAsyncLifetime
{
    private const float Timeout = 60_000; // ms, for whatever a page is to show

    private IPlaywright? _playwright;
    private IBrowser? _browser;

    private static string? Path { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(System.IO.Path.PathSeparator)
        .SelectMany(folder => (string[])[$"{folder}/chromium", $"{folder}/chromium-browser", $"{folder}/google-chrome"])
        .FirstOrDefault(File.Exists);

    public async ValueTask InitializeAsync()
    {
        if (Path is null)
            return;
        Assertions.SetDefaultExpectTimeout(Timeout);
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = Path, ChromiumSandbox = false });
    }

    /// <summary>A user who has never been there; skips the test where there is no Chromium.</summary>
    public async Task<IBrowserContext> NewUserAsync(BrowserNewContextOptions? options = null)
    {
        Assert.SkipWhen(_browser is null, "there is no Chromium");
        IBrowserContext user = await _browser.NewContextAsync(options);
        user.SetDefaultTimeout(Timeout);
        return user;
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
    }
}
