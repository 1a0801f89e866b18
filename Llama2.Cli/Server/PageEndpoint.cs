namespace Llama2.Cli.Server;

/// <summary>The page to talk to the model: one file, which asks nobody but this server.</summary>
internal static class PageEndpoint
{
    public static async Task AnswerAsync(Call call)
    {
        call.Http.Response.ContentType = "text/html; charset=utf-8";
        call.Http.Response.Headers.ContentSecurityPolicy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
            + "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
        await using Stream page = typeof(PageEndpoint).Assembly.GetManifestResourceStream("page.html")!;
        await page.CopyToAsync(call.Http.Response.Body);
    }
}
