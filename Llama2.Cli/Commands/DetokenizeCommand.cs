using System.CommandLine;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>Token ids to text.</summary>
internal static class DetokenizeCommand
{
    public static Command Create()
    {
        Argument<int[]> ids = new("ids") { Description = "token ids", Arity = ArgumentArity.ZeroOrMore };
        Option<string?> tokenizer = new("--tokenizer", "-tokenizer", "-z") { Description = "tokenizer; default: the one that ships", HelpName = "file" };
        Command command = new("detokenize", "Prints the text of token ids") { ids, tokenizer };
        command.SetAction(result =>
        {
            Tokenizer t = ModelFiles.OpenTokenizer(result.GetValue(tokenizer));
            int[] tokens = result.GetValue(ids) ?? [];
            foreach (int token in tokens)
            {
                if ((uint)token >= (uint)t.VocabSize)
                    throw new UsageException($"{token} is no token id: the vocabulary has {t.VocabSize}, from 0");
            }
            Output.WriteLine(t.Decode(tokens));
            return Program.Success;
        });
        return command;
    }
}
