using Microsoft.AspNetCore.Connections;

namespace Llama2.Cli.Server;

/// <summary>
/// Lets a number of connections in. The first request of one too many gets an answer that says so, and the connection ends; Kestrel lets
/// in as many of these as of the others, and closes any beyond without a word.
/// </summary>
internal static class ConnectionLimit
{
    /// <summary>Stands in the features of a connection that is one too many.</summary>
    public sealed record Exceeded(int Max);

    /// <summary>Counts connections before they are handled.</summary>
    /// <param name="max">How many, or 0 for any number.</param>
    public static ConnectionDelegate Count(ConnectionDelegate next, int max)
    {
        if (max == 0)
            return next;
        SemaphoreSlim free = new(max);
        return async connection =>
        {
            bool isIn = free.Wait(0); // one that is refused takes no place, or it would keep out another that comes just when there is room
            if (!isIn)
                connection.Features.Set(new Exceeded(max));
            try
            {
                await next(connection);
            }
            finally
            {
                if (isIn)
                    free.Release();
            }
        };
    }
}
