using Llama2.Cli.Terminal;

namespace Llama2.Cli.Models;

/// <summary>A file to download, its name in the folder of models, and its SHA-256 or SHA-1 in hexadecimal.</summary>
internal sealed record RemoteFile(Uri Uri, string Name, long? Length = null, string? Checksum = null);

/// <summary>The URLs of the models and tokenizers that llama2.c's author publishes.</summary>
internal static class Hub
{
    public const string MirrorVariable = "LLAMA2_HUB"; // names a mirror that holds the same paths as the two sites

    public static readonly string[] Names = [.. ModelFiles.KnownModels, "tokenizer"];

    /// <summary>A model and its tokenizer, or the tokenizer of Llama 2, or the one file of a URL.</summary>
    /// <exception cref="UsageException">No such name, and no URL that names a file.</exception>
    public static RemoteFile[] FilesOf(string nameOrUrl) => nameOrUrl switch
    {
        "tokenizer" => [Tokenizer],
        "stories260K" =>
        [
            Model("stories260K/stories260K.bin", 1_056_540, "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696"),
            Model("stories260K/tok512.bin", 6_227, "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312"),
        ],
        "stories15M" =>
        [
            Model("stories15M.bin", 60_816_028, "cd590644d963867a2b6e5a1107f51fad663c41d79c149fbecbbb1f95fa81f49a"),
            Tokenizer,
        ],
        "stories42M" => [Model("stories42M.bin", 167_020_572, null), Tokenizer],
        "stories110M" => [Model("stories110M.bin", 438_381_596, "ccc55bc06f7d69ef4e090ee3092dca749a88834d"), Tokenizer],
        _ => [FromUrl(nameOrUrl)],
    };

    private static RemoteFile Tokenizer => File("https://github.com/", "karpathy/llama2.c/raw/master/tokenizer.bin",
        433_869, "50a52ef822ee9e83de5ce9d0be0a025a773d019437f58b5ff9dcafb063ece361");

    private static RemoteFile Model(string name, long length, string? checksum) =>
        File("https://huggingface.co/", "karpathy/tinyllamas/resolve/main/" + name, length, checksum);

    private static RemoteFile File(string site, string path, long length, string? checksum)
    {
        string root = Environment.GetEnvironmentVariable(MirrorVariable) is { Length: > 0 } mirror ? mirror.TrimEnd('/') + "/" : site;
        return Uri.TryCreate(root + path, UriKind.Absolute, out Uri? uri) && IsHttp(uri)
            ? new RemoteFile(uri, path[(path.LastIndexOf('/') + 1)..], length, checksum)
            : throw new UsageException($"{MirrorVariable}: expected an http or https URL, found {WithoutPassword(root)}");
    }

    private static RemoteFile FromUrl(string url)
    {
        bool isUrl = Uri.TryCreate(url, UriKind.Absolute, out Uri? uri) && IsHttp(uri);
        string name = isUrl ? Uri.UnescapeDataString(uri!.Segments[^1]) : "";
        return IsFileName(name)
            ? new RemoteFile(uri!, name)
            : throw new UsageException(
                $"pull: expected one of {string.Join(", ", Names)}, or the http or https URL of a file, found {WithoutPassword(url)}");
    }

    /// <summary>A URL as it may be shown: without the user's name and password.</summary>
    public static string WithoutPassword(string url)
    {
        int start = url.IndexOf("://", StringComparison.Ordinal) + 3;
        int length = url.AsSpan(start).IndexOfAny('/', '?', '#');
        int at = start < 3 ? -1 : url.AsSpan(start, length < 0 ? url.Length - start : length).LastIndexOf('@');
        return url.Remove(start < 3 ? 0 : start, at + 1);
    }

    private static bool IsHttp(Uri uri) => uri.Scheme == Uri.UriSchemeHttp || uri.Scheme == Uri.UriSchemeHttps;

    // A URL must not lead out of the folder, by "%2F" or "..".
    private static bool IsFileName(string name) => name is not ("" or "." or "..") && name.IndexOfAny(['/', '\\', '\0']) < 0;
}
