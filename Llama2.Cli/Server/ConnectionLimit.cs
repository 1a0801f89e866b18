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
        bool isIn = TryEnter();
        if (!isIn)
            connection.Features.Set(new Exceeded(max));
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

    // One that is refused is never counted, or it would keep out another that comes just when there is room.
    private bool TryEnter()
    {
        int open = Volatile.Read(ref _open);
        while (open < max)
        {
            int found = Interlocked.CompareExchange(ref _open, open + 1, open);
            if (found == open)
                return true;
            open = found;
        }
        return false;
    }
}
