using System.CommandLine;
using Llama2.Simple.Text;

namespace Llama2.Cli.Options;

/// <summary>Names a chat template, for chat and serve; <see cref="Models.LoadedModel.Template"/> finds it.</summary>
internal static class TemplateOption
{
    public static Option<string?> AddTemplate(this Command command)
    {
        string[] names = [.. ChatTemplates.All.Select(template => template.Name)];
        Option<string?> option = command.AddOption<string?>("--template", "name",
            $"the format that the model was tuned on: {string.Join(", ", names)}; plain just goes on with the text, for models of stories; "
            + $"default: the one in the model's file, or {names[0]}");
        option.AcceptOnlyFrom(names);
        return option;
    }
}
