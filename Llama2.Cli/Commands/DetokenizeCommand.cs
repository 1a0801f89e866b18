using System.CommandLine;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>Token ids to text.</summary>
internal static class DetokenizeCommand
{
    public static void AddTo(Command command)
    {
        Argument<int[]> ids = new("ids") { Description = "token ids", Arity = ArgumentArity.ZeroOrMore };
        Option<string?> tokenizer = new("--tokenizer", "-tokenizer", "-z") { Description = "tokenizer; default: the one that ships", HelpName = "file" };
        command.Add(ids);
        command.Add(tokenizer);
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
    }
}
