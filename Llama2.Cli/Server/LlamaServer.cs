using System.Net;
using System.Net.Sockets;
using Llama2.Cli.Terminal;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Llama2.Cli.Server;

/// <summary>Kestrel, which listens and hands requests to <see cref="Routes"/>.</summary>
internal sealed class LlamaServer : IAsyncDisposable
{
    public const long MaxBody = 8 << 20; // bytes

    private readonly WebApplication _app;

    /// <summary>A server that does not listen yet.</summary>
    /// <exception cref="UsageException">There is no such host.</exception>
    public LlamaServer(Service service)
    {
        // Slim with its defaults would read the settings of whatever folder the program is in.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = MaxBody;
            kestrel.Listen(Address(service.Options.Host), service.Options.Port, listen => listen.Protocols = HttpProtocols.Http1);
        });
        _app = builder.Build();
        _app.Run(new Routes(service).AnswerAsync);
    }

    /// <summary>Where it listens: http://ADDRESS:PORT.</summary>
    public string Url => _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();

    /// <summary>Listens from now on.</summary>
    /// <exception cref="IOException">The port is taken.</exception>
    public Task StartAsync() => _app.StartAsync();

    /// <summary>Lets answers that are being written end, and closes all connections.</summary>
    public async Task StopAsync()
    {
        using CancellationTokenSource bound = new(TimeSpan.FromSeconds(2)); // for clients that do not read
        await _app.StopAsync(bound.Token);
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

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

    /// <summary>Signals are the program's own matter, not the host's.</summary>
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
