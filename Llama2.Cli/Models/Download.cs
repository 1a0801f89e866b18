using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Models;

/// <summary>
/// One file, fetched into PATH.part and renamed when it is complete and verified. A broken connection goes on where it
/// stopped, in this run or a later one.
/// </summary>
internal sealed class Download(HttpClient http, RemoteFile file, string path)
{
    public const string PartEnding = ".part";

    private const int MaxFruitlessAttempts = 5, MaxRedirects = 10;
    private const int MinProgress = 16 * 1024; // bytes of an attempt, and within Patience, that make it worth going on

    private long? _length = file.Length;
    private string? _linkedSha256;          // as Hugging Face sends it with its redirect
    private EntityTagHeaderValue? _version; // the ETag of what is in the .part, if all of it came in this run
    private bool _resumed;                  // whether the .part is of several answers
    private bool _isOfThisRun;              // whether all that is in the .part came in this run

    public TimeSpan Pause { get; init; } = TimeSpan.FromSeconds(1);     // after the first failure; each further one in a row doubles it
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30); // how long a connection may be silent

    public long MaxLength { get; init; } = long.MaxValue;               // bytes of a file whose length is not known before

    /// <summary>Gets the bytes on the disk and, if known, those of the whole file, after each piece.</summary>
    public Action<long, long?>? OnProgress { get; init; }

    /// <summary>Gets a line about each failure after which another attempt is made.</summary>
    public Action<string>? OnRetry { get; init; }

    /// <summary>Judges the complete file by its contents before it is renamed; throws to refuse it.</summary>
    public Action<FileStream>? Check { get; init; }

    /// <summary>Whether the file's checksum is known; <see cref="RunAsync"/> has compared it.</summary>
    public bool IsVerified => file.Checksum is not null || _linkedSha256 is not null;

    // Bytes of unknown origin are only worth keeping if the whole will be judged, or the server says it is the same file.
    private bool CanResume => IsVerified || _version is not null;

    /// <summary>A client that shows redirects, whose headers may hold the checksum, and honours the proxy variables.</summary>
    public static HttpClient CreateClient()
    {
        SocketsHttpHandler handler = new() { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(15) };
        HttpClient client = new(handler) { Timeout = Timeout.InfiniteTimeSpan };
        string? version = typeof(Download).Assembly.GetName().Version?.ToString(3);
        client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("llama2", version));
        return client;
    }

    /// <summary>Whether a file that is there is known to be the one that would be downloaded.</summary>
    public static async Task<bool> IsThereAsync(RemoteFile file, string path, CancellationToken cancellation)
    {
        if (file.Length is null || !File.Exists(path) || new FileInfo(path).Length != file.Length)
            return false;
        using FileStream stream = File.OpenRead(path);
        return file.Checksum is null || await HashAsync(stream, file.Checksum, cancellation) == file.Checksum;
    }

    /// <summary>
    /// Downloads the file; there is never a part of it under its name. The .part stays only if a later run can go on with it.
    /// </summary>
    /// <exception cref="DownloadException">The server does not have it, does not stop failing, or sends something else.</exception>
    /// <exception cref="OutputException">The disk refuses it.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        string partPath = path + PartEnding;
        try
        {
            using FileStream part = OpenPart(partPath);
            try
            {
                await FillAsync(part, cancellation);
                part.Flush(flushToDisk: true);
                CheckContents(part);
                if (!OperatingSystem.IsWindows() && File.Exists(path))
                    File.SetUnixFileMode(part.SafeFileHandle, File.GetUnixFileMode(path));
                File.Move(partPath, path, overwrite: true);
            }
            catch
            {
                if (part.Length == 0 || (_isOfThisRun && !IsVerified))
                    File.Delete(partPath);
                throw;
            }
        }
        catch (Exception e) when (e is not DownloadException && OutputException.IsOfDisk(e))
        {
            throw new OutputException(path, e);
        }
    }

    /// <summary>
    /// Opens the .part, exclusively until it has its final name: two downloads at once would mix their bytes. It is never opened through a
    /// link, symbolic or hard, which could lead to any file, nor where another user could write to it.
    /// </summary>
    private static FileStream OpenPart(string partPath)
    {
        FileInfo there = new(partPath);
        if (there.LinkTarget is null)
        {
            FileMode mode = there.Exists ? FileMode.Open : FileMode.CreateNew; // which does not follow a link that is made meanwhile
            FileShare share = OperatingSystem.IsWindows() ? FileShare.Delete : FileShare.None; // Windows renames only what may be deleted
            FileStream part = new(partPath, mode, FileAccess.ReadWrite, share, bufferSize: 0);
            there.Refresh();
            bool isPlain = part.CanSeek && there is { Exists: true, LinkTarget: null };
            if (isPlain && (mode == FileMode.CreateNew || OwnFile.Is(part.SafeFileHandle)))
                return part;
            part.Dispose();
        }
        throw new IOException($"{partPath} is no plain file of yours alone; remove it");
    }

    private void CheckContents(FileStream part)
    {
        try
        {
            Check?.Invoke(part);
        }
        catch
        {
            Empty(part);
            throw;
        }
    }

    private async Task FillAsync(FileStream part, CancellationToken cancellation)
    {
        long most = part.Length;
        for (int failures = 0; ;)
        {
            try
            {
                await AttemptAsync(part, cancellation);
                await VerifyAsync(part, cancellation);
                return;
            }
            catch (Exception e) when (e is TransientException or HttpRequestException)
            {
                failures = part.Length >= most + MinProgress ? 1 : failures + 1; // as long as it gets further, it is worth going on
                most = Math.Max(most, part.Length);
                if (failures == MaxFruitlessAttempts)
                    throw Fail($"{e.Message} ({failures} attempts)", e);
                TimeSpan pause = Pause * Math.Pow(2, failures - 1);
                OnRetry?.Invoke($"{file.Name}: {e.Message}; next attempt in {pause.TotalSeconds:0.#} s");
                await Task.Delay(pause, cancellation);
            }
        }
    }

    private async Task AttemptAsync(FileStream part, CancellationToken cancellation)
    {
        using HttpResponseMessage response = await SendAsync(part.Length, cancellation);
        HttpStatusCode status = response.StatusCode;
        ContentRangeHeaderValue? range = response.Content.Headers.ContentRange;
        bool nothingMissing = status == HttpStatusCode.RequestedRangeNotSatisfiable && range?.Length == part.Length;
        _resumed = nothingMissing || Continues(response, part.Length);
        if (nothingMissing)
            return;
        if (!_resumed && status is HttpStatusCode.PartialContent or HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            Empty(part);
            throw new TransientException("what came before does not fit what the server has now");
        }
        if ((int)status is >= 500 or 408 or 425 or 429)
            throw new TransientException($"the server answers {(int)status}");
        if (!response.IsSuccessStatusCode)
            throw Fail($"the server answers {(int)status} {status}");

        long? total = _resumed ? range!.Length : response.Content.Headers.ContentLength;
        if (file.Length is { } expected && total is { } found && expected != found)
            throw Fail($"length: expected {expected} bytes, found {found}");
        _length ??= total;
        if (_length > MaxLength)
            throw TooLong($"{_length}");
        if (!_resumed)
            Empty(part); // the server ignores ranges, or the file has changed
        _version = response.Headers.ETag is { IsWeak: false } tag ? tag : null;
        await ReceiveAsync(response, part, cancellation);
    }

    /// <summary>Whether a partial answer goes on where the .part ends, in the same version of the file.</summary>
    private bool Continues(HttpResponseMessage response, long length) =>
        response.StatusCode == HttpStatusCode.PartialContent
        && response.Content.Headers.ContentRange is { From: { } from, Length: not null } && from == length
        && (IsVerified || (_version is not null && _version.Equals(response.Headers.ETag)));

    private async Task ReceiveAsync(HttpResponseMessage response, FileStream part, CancellationToken cancellation)
    {
        using Stream body = await response.Content.ReadAsStreamAsync(cancellation);
        byte[] buffer = new byte[128 * 1024];
        long mark = part.Length;
        Stopwatch sinceMark = Stopwatch.StartNew();
        for (; ; )
        {
            string broken = $"the connection broke after {part.Length} bytes{(_length is null ? "" : $" of {_length}")}";
            int count = await PatientlyAsync(token => body.ReadAsync(buffer, token).AsTask(), broken, cancellation);
            if (count == 0)
                break;
            if (part.Length + count > (_length ?? MaxLength))
            {
                Empty(part);
                throw _length is null ? TooLong("more") : Fail($"length: expected {_length} bytes, found more");
            }
            part.Position = part.Length;
            part.Write(buffer, 0, count);
            OnProgress?.Invoke(part.Length, _length);
            if (part.Length >= mark + MinProgress)
            {
                mark = part.Length;
                sinceMark.Restart();
            }
            else if (sinceMark.Elapsed > Patience && part.Length != _length)
            {
                throw new TransientException($"only {part.Length - mark} bytes came within {Patience.TotalSeconds:0.#} s");
            }
        }
        if (part.Length < _length)
            throw new TransientException($"the connection ended after {part.Length} bytes of {_length}");
    }

    /// <summary>Sends the request, and again to where it is redirected.</summary>
    private async Task<HttpResponseMessage> SendAsync(long offset, CancellationToken cancellation)
    {
        Uri uri = file.Uri;
        for (int redirects = 0; ; redirects++)
        {
            using HttpRequestMessage request = new(HttpMethod.Get, uri);
            request.Headers.Range = offset > 0 && CanResume ? new RangeHeaderValue(offset, null) : null;
            if (request.Headers.Range is not null && _version is not null)
                request.Headers.IfRange = new RangeConditionHeaderValue(_version);
            HttpResponseMessage response = await PatientlyAsync(
                token => http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, token),
                $"{uri.Host} did not answer within {Patience.TotalSeconds:0.#} s", cancellation);
            _linkedSha256 ??= LinkedSha256(response);
            Uri? location = (int)response.StatusCode is 301 or 302 or 303 or 307 or 308 ? response.Headers.Location : null;
            // A checksum in the headers makes the .part of an earlier run worth keeping: ask again, for the rest alone.
            bool asksForRest = offset > 0 && CanResume && request.Headers.Range is null && response.StatusCode == HttpStatusCode.OK;
            if (location is null && !asksForRest)
                return response;
            response.Dispose();
            Uri? next = uri;
            if (location is not null && (!Uri.TryCreate(uri, location, out next) || next.Host == ""))
                throw Fail("refused a redirect to what is no URL");
            if (redirects == MaxRedirects || next.Scheme != uri.Scheme && next.Scheme != Uri.UriSchemeHttps)
                throw Fail(redirects == MaxRedirects ? $"more than {MaxRedirects} redirects" : $"refused a redirect to {Shown(next)}");
            uri = next;
        }
    }

    private static string? LinkedSha256(HttpResponseMessage response) =>
        response.Headers.TryGetValues("x-linked-etag", out IEnumerable<string>? values)
        && values.First().Trim('"') is { Length: 64 } hex && hex.All(char.IsAsciiHexDigit) ? hex : null;

    /// <summary>Waits for a server, no longer than <see cref="Patience"/>.</summary>
    private async Task<T> PatientlyAsync<T>(Func<CancellationToken, Task<T>> wait, string problem, CancellationToken cancellation)
    {
        using CancellationTokenSource silence = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        silence.CancelAfter(Patience);
        try
        {
            return await wait(silence.Token);
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested && e is OperationCanceledException or IOException)
        {
            throw new TransientException(problem);
        }
    }

    private async Task VerifyAsync(FileStream part, CancellationToken cancellation)
    {
        try
        {
            if (_length is { } length && part.Length != length)
                throw Fail($"length: expected {length} bytes, found {part.Length}");
            foreach (string checksum in new[] { file.Checksum, _linkedSha256 }.OfType<string>())
            {
                part.Position = 0;
                string found = await HashAsync(part, checksum, cancellation);
                if (!checksum.Equals(found, StringComparison.OrdinalIgnoreCase))
                    throw Fail($"checksum: expected {checksum}, found {found}");
            }
        }
        catch (DownloadException e)
        {
            Empty(part);
            if (_resumed)
                throw new TransientException($"{e.Message}; beginning again"); // an earlier answer may be to blame
            throw;
        }
    }

    /// <summary>The hash of the kind a checksum is. SHA-1 is enough against accidents, and all that is published of some files.</summary>
    private static async Task<string> HashAsync(Stream stream, string checksum, CancellationToken cancellation)
    {
        HashAlgorithmName algorithm = checksum.Length == 2 * SHA1.HashSizeInBytes ? HashAlgorithmName.SHA1 : HashAlgorithmName.SHA256;
        return Convert.ToHexStringLower(await CryptographicOperations.HashDataAsync(algorithm, stream, cancellation));
    }

    private void Empty(FileStream part)
    {
        part.SetLength(0);
        (_version, _isOfThisRun) = (null, true);
    }

    private DownloadException Fail(string message, Exception? inner = null) => new($"{Shown(file.Uri)}: {message}", inner);

    private DownloadException TooLong(string found) => Fail($"length: expected at most {MaxLength} bytes (see --max-gb), found {found}");

    /// <summary>A URL without what may be secret in it: a password, a signature in its query.</summary>
    public static string Shown(Uri uri) => Hub.WithoutPassword(uri.GetLeftPart(UriPartial.Path));

    /// <summary>An error that may not occur the next time.</summary>
    private sealed class TransientException(string message) : Exception(message);
}

/// <summary>A download that cannot succeed. The message is one line that names the URL and says why.</summary>
internal sealed class DownloadException(string message, Exception? inner = null) : IOException(message, inner);
