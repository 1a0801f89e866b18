using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Llama2.Cli;

/// <summary>
/// One file, fetched into PATH.part and renamed when it is complete and verified. A broken connection goes on where it
/// stopped, in this run or a later one.
/// </summary>
internal sealed class Download(HttpClient http, RemoteFile file, string path)
{
    private const int MaxFruitlessAttempts = 5, MaxRedirects = 10;

    private long? _length = file.Length;
    private string? _linkedSha256;               // as Hugging Face sends it with its redirect
    private EntityTagHeaderValue? _version;      // the ETag of what is in the .part, if all of it came in this run
    private bool _resumed;                       // whether some of it came by another answer than the last

    /// <summary>The pause after the first failure; each further one in a row doubles it.</summary>
    public TimeSpan Pause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a connection may be silent.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Told the bytes on the disk, and those of the whole file if that is known, after each piece.</summary>
    public Action<long, long?>? OnProgress { get; init; }

    /// <summary>Told, in one line, why an attempt failed that will be repeated.</summary>
    public Action<string>? OnRetry { get; init; }

    /// <summary>Judges the complete file by its contents before it is renamed; throws to refuse it.</summary>
    public Action<string>? Check { get; init; }

    /// <summary>Whether the file's checksum was known, and is right.</summary>
    public bool IsVerified => file.Checksum is not null || _linkedSha256 is not null;

    /// <summary>A client as <see cref="Download"/> needs it: it sees redirects, whose headers may hold the checksum, and honours the proxy variables.</summary>
    public static HttpClient CreateClient()
    {
        SocketsHttpHandler handler = new() { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(15) };
        HttpClient client = new(handler) { Timeout = Timeout.InfiniteTimeSpan };
        client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("llama2", typeof(Download).Assembly.GetName().Version?.ToString(3)));
        return client;
    }

    /// <summary>Whether a file that is there is known to be the one that would be downloaded.</summary>
    public static async Task<bool> IsThereAsync(RemoteFile file, string path, CancellationToken cancellation)
    {
        if (file.Length is null || !File.Exists(path) || new FileInfo(path).Length != file.Length)
            return false;
        using FileStream stream = File.OpenRead(path);
        return file.Checksum is null || await HashAsync(stream, file.Checksum, cancellation).ConfigureAwait(false) == file.Checksum;
    }

    // Bytes of unknown origin are only worth keeping if the whole will be judged, or the server says it is the same file.
    private bool CanResume => IsVerified || _version is not null;

    /// <summary>Downloads the file; what is under its name afterwards is whole.</summary>
    /// <exception cref="DownloadException">The server does not have it, does not stop failing, or sends something else.</exception>
    /// <exception cref="OutputException">The disk refuses it.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        string partPath = path + ".part";
        // no sharing: two downloads at once would mix their bytes
        using (FileStream part = ToDisk(() => new FileStream(partPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0)))
        {
            await FillAsync(part, cancellation).ConfigureAwait(false);
            ToDisk(() => part.Flush(flushToDisk: true));
        }
        try
        {
            Check?.Invoke(partPath);
        }
        catch
        {
            File.Delete(partPath);
            throw;
        }
        ToDisk(() => File.Move(partPath, path, overwrite: true));
    }

    private async Task FillAsync(FileStream part, CancellationToken cancellation)
    {
        long most = part.Length;
        for (int failures = 0; ;)
        {
            try
            {
                await AttemptAsync(part, cancellation).ConfigureAwait(false);
                await VerifyAsync(part, cancellation).ConfigureAwait(false);
                return;
            }
            catch (Exception e) when (e is TransientException or HttpRequestException)
            {
                failures = part.Length > most ? 1 : failures + 1; // as long as it gets further, it is worth going on
                most = Math.Max(most, part.Length);
                if (failures == MaxFruitlessAttempts)
                    throw Fail($"{e.Message} ({failures} attempts)", e);
                TimeSpan pause = Pause * Math.Pow(2, failures - 1);
                OnRetry?.Invoke($"{file.Name}: {e.Message}; next attempt in {pause.TotalSeconds:0.#} s");
                await Task.Delay(pause, cancellation).ConfigureAwait(false);
            }
        }
    }

    private async Task AttemptAsync(FileStream part, CancellationToken cancellation)
    {
        HttpResponseMessage response = await SendAsync(part.Length, cancellation).ConfigureAwait(false);
        if (part.Length > 0 && CanResume && response is { StatusCode: HttpStatusCode.OK, RequestMessage.Headers.Range: null })
        {
            response.Dispose(); // its headers brought the checksum that makes the .part of an earlier run worth keeping
            response = await SendAsync(part.Length, cancellation).ConfigureAwait(false);
        }
        using (response)
            await ReceiveAsync(response, part, cancellation).ConfigureAwait(false);
    }

    private async Task ReceiveAsync(HttpResponseMessage response, FileStream part, CancellationToken cancellation)
    {
        ContentRangeHeaderValue? range = response.Content.Headers.ContentRange;
        bool nothingMissing = response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable && range?.Length == part.Length;
        _resumed = nothingMissing || Continues(response, part.Length);
        if (nothingMissing)
            return;
        if (!_resumed && response.StatusCode is HttpStatusCode.PartialContent or HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            Empty(part);
            throw new TransientException("what came before does not fit what the server has now");
        }
        if (!response.IsSuccessStatusCode)
            throw Refusal(response.StatusCode);

        long? total = _resumed ? range!.Length : response.Content.Headers.ContentLength;
        if (file.Length is { } expected && total is { } found && expected != found)
            throw Fail($"length: expected {expected} bytes, found {found}");
        _length ??= total;
        if (!_resumed)
            Empty(part); // the server ignores ranges, or the file has changed
        _version = response.Headers.ETag is { IsWeak: false } tag ? tag : null;
        await ReceiveBodyAsync(response, part, cancellation).ConfigureAwait(false);
    }

    /// <summary>Whether a partial answer goes on where the .part ends, in the same version of the file.</summary>
    private bool Continues(HttpResponseMessage response, long length) =>
        response.StatusCode == HttpStatusCode.PartialContent
        && response.Content.Headers.ContentRange is { From: { } from, Length: not null } && from == length
        && (IsVerified || (_version is not null && _version.Equals(response.Headers.ETag)));

    private async Task ReceiveBodyAsync(HttpResponseMessage response, FileStream part, CancellationToken cancellation)
    {
        using Stream body = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        byte[] buffer = new byte[128 * 1024];
        using CancellationTokenSource silence = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        for (; ; )
        {
            int count;
            try
            {
                silence.CancelAfter(Patience);
                count = await body.ReadAsync(buffer, silence.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (!cancellation.IsCancellationRequested && e is OperationCanceledException or IOException)
            {
                throw new TransientException($"the connection broke after {part.Length} bytes{(_length is null ? "" : $" of {_length}")}");
            }
            if (count == 0)
                break;
            if (part.Length + count > _length)
            {
                Empty(part);
                throw Fail($"length: expected {_length} bytes, found more");
            }
            ToDisk(() =>
            {
                part.Position = part.Length;
                part.Write(buffer, 0, count);
            });
            OnProgress?.Invoke(part.Length, _length);
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
            if (offset > 0 && CanResume)
                request.Headers.Range = new RangeHeaderValue(offset, null);
            if (request.Headers.Range is not null && _version is not null)
                request.Headers.IfRange = new RangeConditionHeaderValue(_version);
            using CancellationTokenSource silence = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            silence.CancelAfter(Patience);
            HttpResponseMessage response;
            try
            {
                response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silence.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                throw new TransientException($"{uri.Host} did not answer within {Patience.TotalSeconds:0.#} s");
            }
            _linkedSha256 ??= LinkedSha256(response);
            if ((int)response.StatusCode is not (301 or 302 or 303 or 307 or 308) || response.Headers.Location is not { } location)
                return response;
            response.Dispose();
            Uri next = new(uri, location);
            if (redirects == MaxRedirects || next.Scheme != uri.Scheme && next.Scheme != Uri.UriSchemeHttps)
                throw Fail(redirects == MaxRedirects ? $"more than {MaxRedirects} redirects" : $"refused a redirect to {next}");
            uri = next;
        }
    }

    private static string? LinkedSha256(HttpResponseMessage response) =>
        response.Headers.TryGetValues("x-linked-etag", out IEnumerable<string>? values)
        && values.First().Trim('"') is { Length: 64 } hex && hex.All(char.IsAsciiHexDigit) ? hex : null;

    private async Task VerifyAsync(FileStream part, CancellationToken cancellation)
    {
        try
        {
            if (_length is { } length && part.Length != length)
                throw Fail($"length: expected {length} bytes, found {part.Length}");
            foreach (string checksum in new[] { file.Checksum, _linkedSha256 }.OfType<string>())
            {
                part.Position = 0;
                if (await HashAsync(part, checksum, cancellation).ConfigureAwait(false) is var found && !checksum.Equals(found, StringComparison.OrdinalIgnoreCase))
                    throw Fail($"checksum: expected {checksum}, found {found}");
            }
        }
        catch (DownloadException e)
        {
            Empty(part);
            if (_resumed)
                throw new TransientException($"{e.Message}; beginning again"); // what came before may be to blame
            File.Delete(part.Name);
            throw;
        }
    }

    /// <summary>The hash of a stream of the kind a checksum is. SHA-1 is enough against accidents, and all that is published of some files.</summary>
    private static async Task<string> HashAsync(Stream stream, string checksum, CancellationToken cancellation)
    {
        HashAlgorithmName algorithm = checksum.Length == 2 * SHA1.HashSizeInBytes ? HashAlgorithmName.SHA1 : HashAlgorithmName.SHA256;
        return Convert.ToHexStringLower(await CryptographicOperations.HashDataAsync(algorithm, stream, cancellation).ConfigureAwait(false));
    }

    private void Empty(FileStream part)
    {
        part.SetLength(0);
        _version = null;
    }

    private Exception Refusal(HttpStatusCode status) => (int)status is >= 500 or 408 or 425 or 429
        ? new TransientException($"the server answers {(int)status}")
        : Fail($"the server answers {(int)status} {status}");

    private DownloadException Fail(string message, Exception? inner = null) => new($"{file.Uri}: {message}", inner);

    private void ToDisk(Action write) => ToDisk(() =>
    {
        write();
        return true;
    });

    private T ToDisk<T>(Func<T> write)
    {
        try
        {
            return write();
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(path, e);
        }
    }

    /// <summary>Something that may go better the next time.</summary>
    private sealed class TransientException(string message) : Exception(message);
}

/// <summary>A download that cannot succeed. The message is one line that names the URL and says why.</summary>
internal sealed class DownloadException(string message, Exception? inner = null) : IOException(message, inner);
