using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Llama2.Tests.Cli;

/// <summary>An HTTP server on this machine that sends the faulty answers of a test.</summary>
internal sealed class FaultyServer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Func<Request, Reply> _answer;

    /// <param name="answer">Answers each request; called by one thread at a time.</param>
    public FaultyServer(Func<Request, Reply> answer)
    {
        _answer = answer;
        _listener.Start();
        Task.Run(ServeAsync);
    }

    public string Address => $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    /// <summary>All that was asked, in order.</summary>
    public ConcurrentQueue<Request> Requests { get; } = [];

    private async Task ServeAsync()
    {
        for (; ; )
        {
            try
            {
                using TcpClient client = await _listener.AcceptTcpClientAsync();
                NetworkStream stream = client.GetStream();
                Request request = await Request.ReadAsync(stream);
                Requests.Enqueue(request);
                await _answer(request).SendAsync(stream, request);
            }
            catch (IOException)
            {
                // the client has hung up, as it may
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    public void Dispose() => _listener.Stop();

    /// <param name="Target">What the request line names: a path, or for a proxy a whole URL.</param>
    /// <param name="Headers">All headers.</param>
    internal sealed record Request(string Target, IReadOnlyDictionary<string, string> Headers)
    {
        /// <summary>The first byte asked for, if the request has a range.</summary>
        public int? From => Headers.TryGetValue("Range", out string? range)
            ? int.Parse(range["bytes=".Length..].TrimEnd('-'), CultureInfo.InvariantCulture) : null;

        public static async Task<Request> ReadAsync(Stream stream)
        {
            StringBuilder text = new();
            byte[] one = new byte[1];
            while (!text.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
            {
                if (await stream.ReadAsync(one) == 0)
                    throw new IOException("the request ended early");
                text.Append((char)one[0]);
            }
            string[] lines = text.ToString().Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
            return new Request(lines[0].Split(' ')[1], lines.Skip(1).Select(line => line.Split(": ", 2))
                .ToDictionary(pair => pair[0], pair => pair[1], StringComparer.OrdinalIgnoreCase));
        }
    }

    /// <summary>An answer; as it is by default it is a good one.</summary>
    /// <param name="Body">The whole file.</param>
    internal sealed record Reply(byte[] Body)
    {
        /// <summary>The status, instead of 200, or 206 and 416 where a range is asked for.</summary>
        public int? Status { get; init; }

        public bool IgnoreRange { get; init; }

        /// <summary>Says that a range begins so many bytes later than it does.</summary>
        public int ShiftRange { get; init; }

        /// <summary>Closes the connection after so many bytes.</summary>
        public int? CutAfter { get; init; }

        /// <summary>Says that there are so many bytes more than there are.</summary>
        public int LieAboutLength { get; init; }

        /// <summary>Sends nothing after the first byte until the client hangs up.</summary>
        public bool Stalls { get; init; }

        /// <summary>More headers, a line each.</summary>
        public string[] Headers { get; init; } = [];

        public async Task SendAsync(Stream stream, Request request)
        {
            int? from = IgnoreRange ? null : request.From;
            ReadOnlyMemory<byte> body = from >= Body.Length ? default : Body.AsMemory(from ?? 0);
            int status = Status ?? (from is null ? 200 : from >= Body.Length ? 416 : 206);
            string range = status switch
            {
                206 => $"Content-Range: bytes {from + ShiftRange}-{Body.Length + LieAboutLength - 1}/{Body.Length + LieAboutLength}\r\n",
                416 => $"Content-Range: bytes */{Body.Length}\r\n",
                _ => "",
            };
            string headers = string.Concat(Headers.Select(line => line + "\r\n"));
            string head = $"HTTP/1.1 {status} Status\r\nContent-Length: {body.Length + LieAboutLength}\r\nConnection: close\r\n"
                + $"{range}{headers}\r\n";
            await stream.WriteAsync(Encoding.ASCII.GetBytes(head));
            if (Stalls)
            {
                await stream.WriteAsync(body[..1]);
                _ = await stream.ReadAsync(new byte[1]);
                return;
            }
            await stream.WriteAsync(body[..Math.Min(body.Length, CutAfter ?? int.MaxValue)]);
        }
    }
}
