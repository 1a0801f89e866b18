using System.Text;

namespace Llama2.Cli.Terminal;

/// <summary>Lines for the user on stderr. They are best effort: text goes to stdout even if stderr cannot be written.</summary>
internal static class Notes
{
    private static readonly Stream? Stream = StandardStreams.OpenError();

    public static void Write(string line)
    {
        try
        {
            Stream?.Write(Encoding.UTF8.GetBytes(Printable.Of(line) + "\n"));
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
        }
    }
}
