namespace Llama2.Cli.Terminal;

/// <summary>Lines for the user on stderr. They are best effort: text goes to stdout even if stderr cannot be written.</summary>
internal static class Notes
{
    public static void Write(string line)
    {
        try
        {
            Console.Error.WriteLine(Printable.Of(line));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }
}
