using System.CommandLine;
using System.Text;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>Text to token ids, BOS first, as run.c encodes a prompt.</summary>
internal static class TokenizeCommand
{
    public static void AddTo(Command command)
    {
        Argument<string> text = new("text") { Description = "the text, or - to read it from stdin" };
        Option<string?> tokenizer = new("--tokenizer", "-tokenizer", "-z") { Description = "tokenizer; default: the one that ships", HelpName = "file" };
        Option<bool> noBos = new("--no-bos") { Description = "without the token that begins a text" };
        Option<bool> pieces = new("--pieces") { Description = "id and piece, a token a line" };
        command.Add(text);
        command.Add(tokenizer);
        command.Add(noBos);
        command.Add(pieces);
        command.SetAction(result =>
        {
            Tokenizer t = ModelFiles.OpenTokenizer(result.GetValue(tokenizer));
            int[] ids = t.Encode(Read(result.GetRequiredValue(text)), bos: !result.GetValue(noBos));
            if (result.GetValue(pieces))
                Output.Write(string.Concat(ids.Select(id => $"{id} {Encoding.UTF8.GetString(t.Piece(id)).ReplaceLineEndings("\\n")}\n")));
            else
                Output.WriteLine(string.Join(' ', ids));
            return Program.Success;
        });
    }

    private static byte[] Read(string text)
    {
        if (text != "-")
            return Encoding.UTF8.GetBytes(text);
        using MemoryStream bytes = new();
        Console.OpenStandardInput().CopyTo(bytes);
        return bytes.ToArray();
    }
}
