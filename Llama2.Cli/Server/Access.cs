using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Llama2.Cli.Server;

/// <summary>
/// Who may ask: those with a key, where keys are set, and web pages only of origins that were named. A page of a foreign origin is refused
/// even without a key, since a browser sends its requests from the user's own machine.
/// </summary>
internal sealed class Access(ServerOptions options)
{
    private readonly byte[][] _keys = [.. options.ApiKeys.Select(key => SHA256.HashData(Encoding.UTF8.GetBytes(key)))];

    /// <summary>Whose request it is: its key, or nothing where no keys are set.</summary>
    /// <exception cref="ApiException">It has no key, or a wrong one; the time that this takes does not tell how wrong it is.</exception>
    public string User(HttpRequest request)
    {
        if (_keys.Length == 0)
            return "";
        string authorization = request.Headers.Authorization.ToString();
        string key = authorization.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? authorization["Bearer ".Length..].Trim()
            : request.Headers["X-Api-Key"].ToString();
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(key));
        return _keys.Any(known => CryptographicOperations.FixedTimeEquals(hash, known)) ? key : throw new ApiException(
            401, "authentication_error", "this server wants an API key, and this is none", code: "invalid_api_key");
    }

    /// <summary>Lets a page of an allowed origin read the answer.</summary>
    /// <exception cref="ApiException">The page is of another origin, or the server's name is not one that it goes by.</exception>
    public void CheckOrigin(HttpContext http)
    {
        HttpRequest request = http.Request;
        bool isLocal = http.Connection.LocalIpAddress is { } address && IPAddress.IsLoopback(address);
        if (isLocal && request.Host.HasValue && !IsOwnName(request.Host.Host)) // a foreign page whose name leads here: DNS rebinding
            throw new ApiException(403, "permission_error", "this server does not go by that name; --cors-origin adds one");
        string origin = request.Headers.Origin.ToString();
        if (origin == "" || (IsOwnName(request.Host.Host) && origin == $"{request.Scheme}://{request.Host}"))
            return;
        if (!options.CorsOrigins.Contains("*") && !options.CorsOrigins.Contains(origin))
            throw new ApiException(403, "permission_error", "web pages of this origin may not ask this server; --cors-origin allows it");
        http.Response.Headers.AccessControlAllowOrigin = origin;
        http.Response.Headers.Vary = "Origin";
    }

    /// <summary>Answers a browser that asks before it sends a page's request.</summary>
    public static void AnswerPreflight(HttpContext http)
    {
        http.Response.StatusCode = 204;
        http.Response.Headers.AccessControlAllowMethods = "GET, POST, DELETE";
        http.Response.Headers.AccessControlAllowHeaders = "Authorization, Content-Type, X-Api-Key, "
            + string.Join(", ", http.Request.Headers.AccessControlRequestHeaders.ToString().Split(',')
                .Select(name => name.Trim()).Where(name => name.StartsWith("x-stainless-", StringComparison.OrdinalIgnoreCase)));
        http.Response.Headers.AccessControlMaxAge = "600";
    }

    private bool IsOwnName(string host) => IPAddress.TryParse(host.Trim('[', ']'), out _)
        || host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || host.Equals(options.Host, StringComparison.OrdinalIgnoreCase)
        || options.CorsOrigins.Any(origin => Uri.TryCreate(origin, UriKind.Absolute, out Uri? uri)
            && uri.Host.Equals(host, StringComparison.OrdinalIgnoreCase));
}
