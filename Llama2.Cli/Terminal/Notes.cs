using System.Text;

namespace Llama2.Cli.Terminal;

/// <summary>Lines for the user on stderr. They are best effort: text goes to stdout even if stderr cannot be written.</summary>
internal static class Notes
{
    public static readonly TextWriter Writer = TextWriter.Synchronized(
        new StreamWriter(Tty.OpenError() ?? Stream.Null, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true });

    private static readonly bool IsTerminal = !Console.IsErrorRedirected;
    private static readonly Lazy<bool> GoWhereOutputGoes = new(() => OperatingSystem.IsLinux()
        ? new FileInfo("/proc/self/fd/1").LinkTarget is { } target && target == new FileInfo("/proc/self/fd/2").LinkTarget
        : IsTerminal && Output.IsTerminal);

    /// <summary>Writes a line of its own, even if the text on stdout has not ended its line; a narrow terminal gets several.</summary>
    public static void Write(string line)
    {
        bool sticks = Output.IsMidLine && GoWhereOutputGoes.Value;
        try
        {
            Writer.WriteLine((sticks ? Environment.NewLine : "")
                + (IsTerminal ? TextWidth.Wrap(Visible.Of(line), Tty.Size.Columns) : Visible.Of(line)));
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
        }
        Output.IsMidLine &= !sticks;
    }

    /// <summary>"1 token", "2 tokens".</summary>
    public static string Count(int count, string noun) => count == 1 ? $"1 {noun}" : $"{count} {noun}s";
}
