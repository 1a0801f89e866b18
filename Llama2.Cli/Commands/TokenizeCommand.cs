using System.CommandLine;
using System.Text;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>Text to token ids, BOS first, as run.c encodes a prompt.</summary>
internal static class TokenizeCommand
{
    public static void AddTo(Command command)
    {
        Argument<string> text = command.AddArgument<string>("text", "the text, or - to read it from stdin, less the newline at its end");
        Option<string?> tokenizer = ModelOptions.AddTokenizer(command, "the one that ships");
        Option<bool> noBos = command.AddFlag("--no-bos", "without the token that begins a text");
        Option<bool> pieces = command.AddFlag("--pieces", "id and piece, a token a line");
        command.SetAction(result =>
        {
            ITokenizer t = FastTokenizer.Of(ModelFiles.OpenTokenizer(result.GetValue(tokenizer)));
            string given = result.GetRequiredValue(text);
            byte[] utf8 = given == "-" ? Input.ReadText("-", CancellationToken.None) : ArgumentBytes.Of(given);
            int[] ids = t.Encode(utf8, bos: !result.GetValue(noBos));
            if (result.GetValue(pieces))
                Output.Write(string.Concat(ids.Select(id => $"{id} {Encoding.UTF8.GetString(t.Piece(id)).ReplaceLineEndings("\\n")}\n")));
            else
                Output.WriteLines(string.Join(' ', ids));
            return ExitCode.Success;
        });
    }
}
