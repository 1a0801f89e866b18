using System.CommandLine;
using System.CommandLine.Completions;
using Llama2.Cli.Models;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;

namespace Llama2.Cli.Commands;

/// <summary>Removes models from the user's folder, and nothing from elsewhere.</summary>
internal static class RmCommand
{
    public static void AddTo(Command command)
    {
        Argument<string[]> names = command.AddArgument<string[]>("name", "names of models in your folder, as list shows them; "
            + "a tokenizer goes with the last model that finds it there", ArgumentArity.OneOrMore);
        names.CompletionSources.Add(_ => ListedModel.In(ModelFolder.Path).Select(model => new CompletionItem(model.Name)));
        command.SetAction(result =>
        {
            foreach (string path in ModelFolder.FilesOf(result.GetRequiredValue(names)))
                Remove(path);
            return ExitCode.Success;
        });
    }

    private static void Remove(string path)
    {
        try
        {
            File.Delete(path); // of a link, the link
        }
        catch (Exception e) when (OutputException.IsOfDisk(e))
        {
            throw new OutputException(path, e, "removed");
        }
        Notes.Write($"{path}: removed");
    }
}
