using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>The page to talk to the model: one file, which asks nobody but this server. Who is no browser gets Ollama's word.</summary>
internal static class PageEndpoint
{
    public static async Task AnswerAsync(Call call)
    {
        call.Http.Response.Headers.Append("Vary", "Accept");
        if (!call.Http.Request.Headers.Accept.ToString().Contains("text/html", StringComparison.Ordinal))
        {
            await call.WriteAsync("text/plain; charset=utf-8", "Ollama is running"u8.ToArray()); // by which its clients know a server
            return;
        }
        call.Http.Response.ContentType = "text/html; charset=utf-8";
        call.Http.Response.Headers.ContentSecurityPolicy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
            + "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
        await using Stream page = typeof(PageEndpoint).Assembly.GetManifestResourceStream("page.html")!;
        await page.CopyToAsync(call.Http.Response.Body);
    }
}
