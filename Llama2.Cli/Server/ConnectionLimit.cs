using Microsoft.AspNetCore.Connections;

namespace Llama2.Cli.Server;

/// <summary>
/// Lets a number of connections in. The first request of one too many gets an answer that says so, and the connection ends; Kestrel lets
/// in as many of these as of the others, and closes any beyond without a word.
/// </summary>
/// <param name="max">How many, or 0 for any number.</param>
internal sealed class ConnectionLimit(int max)
{
    private int _open; // of those that are in

    /// <summary>Stands in the features of a connection that is one too many.</summary>
    public sealed record Exceeded(int Max);

    /// <summary>Counts connections before they are handled.</summary>
    public ConnectionDelegate Count(ConnectionDelegate next) => max == 0 ? next : async connection =>
    {
        bool isIn = Interlocked.Increment(ref _open) <= max;
        if (!isIn)
        {
            Interlocked.Decrement(ref _open);
            connection.Features.Set(new Exceeded(max));
        }
        try
        {
            await next(connection);
        }
        finally
        {
            if (isIn)
                Interlocked.Decrement(ref _open);
        }
    };
}
