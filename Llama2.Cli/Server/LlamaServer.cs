using System.Net;
using System.Net.Sockets;
using Llama2.Cli.Terminal;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using MsOptions = Microsoft.Extensions.Options.Options;

namespace Llama2.Cli.Server;

/// <summary>
/// Kestrel, which listens and hands requests to <see cref="Routes"/>. It goes without ASP.NET's host, whose dependency injection,
/// configuration and pages about errors are as large as Kestrel, and take longer to start.
/// </summary>
/// <exception cref="UsageException">There is no such host.</exception>
internal sealed class LlamaServer(Service service) : IDisposable
{
    private readonly KestrelServer _kestrel = Create(service.Options);

    /// <summary>Where it listens: http://ADDRESS:PORT.</summary>
    public string Url => _kestrel.Features.Get<IServerAddressesFeature>()!.Addresses.First();

    /// <summary>Listens from now on.</summary>
    /// <exception cref="IOException">The port is taken.</exception>
    /// <exception cref="UsageException">The address is none of this machine's, or the port needs more rights.</exception>
    public async Task StartAsync()
    {
        try
        {
            await _kestrel.StartAsync(new Application(new Routes(service)), CancellationToken.None);
        }
        catch (SocketException e)
        {
            throw new UsageException($"--host {service.Options.Host}, --port {service.Options.Port}: {e.Message}");
        }
    }

    /// <summary>Lets answers that are being written end, and closes all connections.</summary>
    public async Task StopAsync()
    {
        using CancellationTokenSource bound = new(TimeSpan.FromSeconds(2)); // for clients that do not read
        await _kestrel.StopAsync(bound.Token);
    }

    public void Dispose() => _kestrel.Dispose();

    private static KestrelServer Create(ServerOptions server)
    {
        KestrelServerOptions options = new() { AddServerHeader = false };
        SetLimits(options.Limits, server);
        options.Listen(Address(server.Host), server.Port, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            listen.Use(next => ConnectionLimit.Count(next, server.MaxConnections));
        });
        NullLoggerFactory log = NullLoggerFactory.Instance; // RequestLog says what there is to say
        SocketTransportFactory transport = new(MsOptions.Create(new SocketTransportOptions()), log);
        return new KestrelServer(MsOptions.Create(options), transport, log);
    }

    private static void SetLimits(KestrelServerLimits limits, ServerOptions options)
    {
        limits.MaxConcurrentConnections = options.MaxConnections > 0 ? 2L * options.MaxConnections : null;
        limits.MaxRequestBodySize = options.MaxBody;
        limits.MaxRequestLineSize = options.MaxRequestLine;
        limits.MaxRequestHeaderCount = options.MaxHeaders;
        limits.MaxRequestHeadersTotalSize = options.MaxHeaderBytes;
        limits.RequestHeadersTimeout = options.HeaderTimeout;
        limits.KeepAliveTimeout = options.KeepAlive;
        MinDataRate? rate = options.MinRate > 0 ? new(options.MinRate, limits.MinRequestBodyDataRate!.GracePeriod) : null;
        (limits.MinRequestBodyDataRate, limits.MinResponseDataRate) = (rate, rate);
    }

    private static IPAddress Address(string host)
    {
        if (host == "localhost")
            return IPAddress.Loopback;
        if (IPAddress.TryParse(host, out IPAddress? address))
            return address;
        try
        {
            return Dns.GetHostAddresses(host)[0];
        }
        catch (SocketException e)
        {
            throw new UsageException($"--host {host}: {e.Message}");
        }
    }

    /// <summary>Makes a request of what Kestrel has read.</summary>
    private sealed class Application(Routes routes) : IHttpApplication<DefaultHttpContext>
    {
        public DefaultHttpContext CreateContext(IFeatureCollection contextFeatures) => new(contextFeatures);

        public Task ProcessRequestAsync(DefaultHttpContext context) => routes.AnswerAsync(context);

        public void DisposeContext(DefaultHttpContext context, Exception? exception)
        {
        }
    }
}
