using System.CommandLine;
using System.Globalization;
using System.Text;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>Token ids to text.</summary>
internal static class DetokenizeCommand
{
    public static void AddTo(Command command)
    {
        Argument<string[]> ids = command.AddArgument<string[]>(
            "ids", "token ids; - or none: read from stdin, as tokenize prints them", ArgumentArity.ZeroOrMore);
        Option<string?> tokenizer = ModelOptions.AddTokenizer(command, "the one that ships");
        command.SetAction(result =>
        {
            ITokenizer t = ModelFiles.OpenTokenizer(result.GetValue(tokenizer));
            string[] words = result.GetValue(ids) ?? [];
            if (words is [] or ["-"])
                words = Encoding.ASCII.GetString(Input.ReadText("-", CancellationToken.None))
                    .Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            int[] tokens = [.. words.Select(word => Id(word, t.VocabSize))];
            for (int i = tokens is [var first, ..] && first == t.Bos ? 1 : 0; i < tokens.Length; i++)
                Output.Write(t.Decode(i == 0 ? -1 : tokens[i - 1], tokens[i])); // its bytes, which need not be UTF-8
            Output.WriteLine();
            return ExitCode.Success;
        });
    }

    private static int Id(string word, int vocabSize) =>
        int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int id) && id < vocabSize
            ? id
            : throw new UsageException($"{word} is no token id: the vocabulary has {vocabSize}, from 0");
}
