using System.CommandLine;
using System.CommandLine.Invocation;
using System.Text;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Options;

/// <summary>--help in 80 columns, with examples. System.CommandLine's own takes longer to print.</summary>
internal static class HelpText
{
    private const int Width = 80, Column = 26;

    /// <summary>Examples of each command; those of the root command under "".</summary>
    internal static readonly Dictionary<string, string[]> Examples = new()
    {
        [""] = ["llama2", "llama2 -i \"Once upon a time\" -n 100 -t 0.8 -s 42", "llama2 pull stories110M",
            "llama2 stories110M -i \"Lily found a key\"", "llama2 generate --help"],
        ["generate"] = ["llama2 generate", "llama2 generate stories15M -t 0 -n 200",
            "llama2 generate model.bin -z tok.bin -i \"One day\" -p 0.95 -s 7"],
        ["chat"] = ["llama2 chat stories15M", "llama2 chat llama2_7b_chat --system \"Answer in one sentence.\""],
        ["tokenize"] = ["llama2 tokenize \"Once upon a time\"", "llama2 tokenize - --pieces < story.txt"],
        ["detokenize"] = ["llama2 detokenize 1 278 459"],
        ["pull"] = ["llama2 pull stories15M", "llama2 pull stories110M --to models", "llama2 pull https://example.com/model.bin",
            "LLAMA2_HUB=https://mirror.example.com llama2 pull tokenizer"],
        ["verify"] = ["llama2 verify", "llama2 verify stories110M"],
        ["quantize"] = ["llama2 quantize stories110M stories110M_q80.bin", "llama2 quantize model.bin small.bin --group 32",
            "llama2 quantize model_q80.bin model.bin --type f32 --version 1"],
        ["inspect"] = ["llama2 inspect", "llama2 inspect stories15M --context 128 --stats", "llama2 inspect model.bin --json",
            "llama2 inspect --cpu"],
        ["bench"] = ["llama2 bench", "llama2 bench stories15M --threads 1,2,4", "llama2 bench --shape stories110M --quick --json now.json"],
        ["completion"] = ["llama2 completion bash >> ~/.bashrc", "llama2 completion zsh >> ~/.zshrc",
            "llama2 completion fish > ~/.config/fish/completions/llama2.fish"],
    };

    /// <summary>The help of a command.</summary>
    internal static string For(Command command)
    {
        bool isRoot = !command.Parents.Any();
        StringBuilder text = new();
        Paragraph(text, command.Description + ".", 0);
        string arguments = string.Concat(command.Arguments.Select(argument =>
            argument.Arity.MinimumNumberOfValues == 0 ? $" [{argument.Name}]" : $" <{argument.Name}>"));
        text.Append($"\nUsage: llama2{(isRoot ? "" : " " + command.Name)}{arguments} [options]\n");
        if (command.Subcommands.Count > 0)
            text.Append("       llama2 <command> --help\n\nCommands:\n");
        foreach (Command sub in command.Subcommands)
            Entry(text, sub.Name, sub.Description);
        if (command.Arguments.Count > 0)
            text.Append("\nArguments:\n");
        foreach (Argument argument in command.Arguments)
            Entry(text, argument.Name, argument.Description);
        text.Append("\nOptions:\n");
        foreach (Option option in command.Options.Where(option => option.Name != "--help"))
            Entry(text, Names(option), option.Description + Default(option));
        Entry(text, "-h, --help", "this help");
        if (Examples.TryGetValue(isRoot ? "" : command.Name, out string[]? examples))
            text.Append("\nExamples:\n").AppendJoin("", examples.Select(example => $"  {example}\n"));
        return text.ToString();
    }

    /// <summary>"-t, --temperature float"; other spellings, which are for the habits of other programs, are left out.</summary>
    private static string Names(Option option)
    {
        string? letter = option.Aliases.FirstOrDefault(alias => alias.Length == 2 && alias[0] == '-' && alias[1] != '?');
        string value = option.HelpName is { } name ? " " + name : "";
        return (letter is null ? "" : letter + ", ") + option.Name + value;
    }

    private static string Default(Option option)
    {
        bool isSaid = option.Description?.Contains("default", StringComparison.Ordinal) == true;
        bool hasOne = option.HasDefaultValue && option.ValueType != typeof(bool) && option.Arity.MaximumNumberOfValues == 1;
        return hasOne && !isSaid && option.GetDefaultValue()?.ToString() is { Length: > 0 } value ? $" [{value}]" : "";
    }

    private static void Entry(StringBuilder text, string name, string? description)
    {
        bool fits = name.Length + 4 <= Column; // beside its description
        text.Append($"  {name}").Append(fits ? "" : "\n").Append(' ', fits ? Column - 2 - name.Length : Column);
        Paragraph(text, description ?? "", Column);
    }

    private static void Paragraph(StringBuilder text, string words, int indent)
    {
        int column = indent;
        foreach (string word in words.Split(' '))
        {
            if (column > indent)
            {
                bool fits = column + 1 + word.Length <= Width;
                text.Append(fits ? " " : "\n").Append(' ', fits ? 0 : indent);
                column = fits ? column + 1 : indent;
            }
            text.Append(word);
            column += word.Length;
        }
        text.Append('\n');
    }
}

/// <summary>An option that prints a text about its command, even if the rest of the command line is wrong.</summary>
internal sealed class PrintAction(Func<Command, string> text) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        Output.Write(text(parseResult.CommandResult.Command));
        return ExitCode.Success;
    }
}
