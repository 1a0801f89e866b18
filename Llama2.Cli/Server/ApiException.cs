namespace Llama2.Cli.Server;

/// <summary>A request that is answered with an error: OpenAI's JSON, and a status as long as the answer has not begun.</summary>
/// <param name="param">The field of the request that is wrong.</param>
/// <param name="code">A word for programs.</param>
internal sealed class ApiException(int status, string type, string message, string? param = null, string? code = null) : Exception(message)
{
    public int Status { get; } = status;
    public ErrorBody Body { get; } = new(new ErrorDetail(message, type, param, code));

    /// <summary>What log and metrics call it.</summary>
    public string Reason => Body.Error.Code ?? Body.Error.Type;

    public static ApiException Invalid(string message, string? param = null, string? code = null) =>
        new(400, "invalid_request_error", message, param, code);

    /// <summary>Later it may succeed.</summary>
    public static ApiException Unavailable(string message, string code) => new(503, "unavailable_error", message, code: code);
}
