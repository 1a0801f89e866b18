using System.CommandLine;
using System.CommandLine.Invocation;
using System.Text;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Options;

/// <summary>--help as wide as the terminal, with examples. System.CommandLine's own takes longer to print.</summary>
internal static class HelpText
{
    private const int Column = 26, NarrowColumn = 6; // of descriptions; in a narrow terminal they are below the names

    /// <summary>Examples of each command; those of the root command under "".</summary>
    internal static readonly Dictionary<string, string[]> Examples = new()
    {
        [""] = ["llama2", "llama2 -i \"Once upon a time\" -n 100 -t 0.8 -s 42", "llama2 pull stories110M",
            "llama2 stories110M -i \"Lily found a key\"", "llama2 generate --help"],
        ["generate"] = ["llama2 generate", "llama2 generate stories15M -t 0 -n 200",
            "llama2 generate model.bin -z tok.bin -i \"One day\" -p 0.95 -s 7"],
        ["chat"] = ["llama2 chat stories15M", "llama2 chat llama2_7b_chat --system \"Answer in one sentence.\""],
        ["serve"] = ["llama2 serve", "llama2 serve stories110M --port 9000 --template plain", "llama2 serve --api-key secret --pods 8"],
        ["tokenize"] = ["llama2 tokenize \"Once upon a time\"", "llama2 tokenize - --pieces < story.txt"],
        ["detokenize"] = ["llama2 detokenize 1 278 459"],
        ["pull"] = ["llama2 pull stories15M", "llama2 pull stories110M --to weights", "llama2 pull https://example.com/model.bin",
            "LLAMA2_HUB=https://mirror.example.com llama2 pull tokenizer"],
        ["list"] = ["llama2 list", "llama2 list --json"],
        ["rm"] = ["llama2 rm stories15M", "LLAMA2_MODELS=/data/models llama2 rm stories42M stories110M"],
        ["verify"] = ["llama2 verify", "llama2 verify stories110M"],
        ["quantize"] = ["llama2 quantize stories110M stories110M_q80.bin", "llama2 quantize model.bin small.bin --group 32",
            "llama2 quantize model_q80.bin model.bin --type f32 --version 1"],
        ["convert"] = ["llama2 convert stories110M stories110M.gguf --type q8_0", "llama2 convert model.gguf small.gguf --type q4_k_m",
            "llama2 convert model.gguf model.bin"],
        ["perplexity"] = ["llama2 perplexity stories15M story.txt",
            "llama2 perplexity model.gguf text.txt --context 2048 --stride 512 --json"],
        ["inspect"] = ["llama2 inspect", "llama2 inspect stories15M --context 128 --stats", "llama2 inspect model.bin --json",
            "llama2 inspect --cpu"],
        ["bench"] = ["llama2 bench", "llama2 bench stories15M --threads 1,2,4", "llama2 bench --shape stories110M --quick --json now.json"],
        ["completion"] = ["llama2 completion bash >> ~/.bashrc", "llama2 completion zsh >> ~/.zshrc",
            "llama2 completion fish > ~/.config/fish/completions/llama2.fish"],
    };

    /// <summary>The help of a command: in a terminal's columns, if they are not too many to read, and 80 otherwise.</summary>
    internal static string For(Command command) => For(command, Output.IsTerminal ? Math.Min(Tty.Size.Columns, 100) : 80);

    internal static string For(Command command, int width)
    {
        int column = width < 60 ? NarrowColumn : Column;
        bool isRoot = !command.Parents.Any();
        StringBuilder text = new();
        Paragraph(command.Description + ".", 0, 0);
        string arguments = string.Concat(command.Arguments.Select(argument =>
            argument.Arity.MinimumNumberOfValues == 0 ? $" [{argument.Name}]" : $" <{argument.Name}>"));
        text.Append('\n');
        Paragraph($"Usage: llama2{(isRoot ? "" : " " + command.Name)}{arguments} [options]", 0, 7);
        if (command.Subcommands.Count > 0)
            text.Append("       llama2 <command> --help\n\nCommands:\n");
        foreach (Command sub in command.Subcommands)
            Entry(sub.Name, sub.Description);
        if (command.Arguments.Count > 0)
            text.Append("\nArguments:\n");
        foreach (Argument argument in command.Arguments)
            Entry(argument.Name, argument.Description);
        text.Append("\nOptions:\n");
        foreach (Option option in command.Options.Where(option => option.Name != "--help"))
            Entry(Names(option), option.Description + Default(option));
        Entry("-h, --help", "this help");
        if (Examples.TryGetValue(isRoot ? "" : command.Name, out string[]? examples))
            text.Append("\nExamples:\n");
        foreach (string example in examples ?? [])
        {
            text.Append("  ");
            Paragraph(example, 2, NarrowColumn, " \\"); // a shell takes it as one line still
        }
        return text.ToString();

        void Entry(string name, string? description)
        {
            bool fits = name.Length + 4 <= column; // beside its description
            text.Append($"  {name}").Append(fits ? "" : "\n").Append(' ', fits ? column - 2 - name.Length : column);
            Paragraph(description ?? "", column, column);
        }

        void Paragraph(string words, int used, int indent, string atBreak = "") =>
            text.Append(TextWidth.Wrap(words, width, used, indent, atBreak)).Append('\n');
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
