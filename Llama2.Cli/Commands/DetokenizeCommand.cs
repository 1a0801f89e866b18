using System.CommandLine;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Text;

namespace Llama2.Cli.Commands;

/// <summary>Token ids to text.</summary>
internal static class DetokenizeCommand
{
    public static void AddTo(Command command)
    {
        Argument<int[]> ids = command.AddArgument<int[]>("ids", "token ids", ArgumentArity.ZeroOrMore);
        Option<string?> tokenizer = ModelOptions.AddTokenizer(command, "the one that ships");
        command.SetAction(result =>
        {
            Tokenizer t = ModelFiles.OpenTokenizer(result.GetValue(tokenizer));
            int[] tokens = result.GetValue(ids) ?? [];
            foreach (int token in tokens.Where(token => (uint)token >= (uint)t.VocabSize))
                throw new UsageException($"{token} is no token id: the vocabulary has {t.VocabSize}, from 0");
            Output.WriteLine(t.Decode(tokens));
            return ExitCode.Success;
        });
    }
}
