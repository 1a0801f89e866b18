using System.Text;
using System.Text.RegularExpressions;
using static Llama2.Simple.Text.ChatTemplates;

namespace Llama2.Simple.Text;

/// <summary>Tells which of the known formats a model's own template writes.</summary>
public static partial class ChatTemplateRecognition
{
    private const int MaxLength = 1 << 16; // of a text that is looked through; several times the longest there are

    /// <summary>
    /// The template that writes what a model's own writes, or null where none is known to. The text in the file is a program in the
    /// language Jinja. Its markers tell which format it is, and how it joins them tells the details.
    /// </summary>
    /// <param name="jinja">The text, as tokenizer.chat_template of a GGUF file has it.</param>
    public static ChatTemplate? Recognise(string jinja)
    {
        if (jinja.Length > MaxLength)
            return null;
        bool isTrimmed = jinja.Contains("trim", StringComparison.Ordinal) || jinja.Contains(".strip()", StringComparison.Ordinal);
        ChatTemplate? template = Has("<|im_start|>", "<|im_end|>") ? Has("<|im_sep|>") ? null : RecogniseChatMl(jinja)
            : Has("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
                ? Named(Has("Cutting Knowledge Date") ? "llama3.1" : "llama3")
            : Has("[INST] ", "[/INST]") ? Has("[SYSTEM_PROMPT]") ? null : RecogniseBrackets(jinja, isTrimmed)
            : Has("<|user|>", "<|assistant|>", "eos_token") ? Named("zephyr")
            : Has("<|{{", "<|assistant|>", "eos_token") ? Named("tinyllama")
            : Has("### Instruction:", "### Response:") ? RecogniseAlpaca(jinja)
            : Has("USER:", "ASSISTANT:") ? Named("vicuna") with { DefaultSystem = Literal(jinja, "A chat between") }
            : Has("### ", "Human", "Assistant") ? Named("guanaco")
            : null;
        if (template is null)
            return null;
        bool isUniform = template.Name is not ("llama2" or "mistral-v1" or "mistral-v3" or "guanaco"); // in what it trims
        if (isUniform)
            template = isTrimmed ? Trimmed(template) : Untrimmed(template);
        bool isOnceAtMost = !template.User.Contains(ChatTemplate.BosPart, StringComparison.Ordinal);
        return template with { Begin = isOnceAtMost && Has("bos_token") ? ChatTemplate.BosPart : "" };

        bool Has(params string[] texts) => Array.TrueForAll(texts, text => jinja.Contains(text, StringComparison.Ordinal));
    }

    private static ChatTemplate RecogniseChatMl(string jinja)
    {
        string? system = Literal(jinja, "<|im_start|>system", "<|im_end|>")?.TrimStart('\n');
        ChatTemplate smolLm = Named("smollm2");
        return system == smolLm.DefaultSystem ? smolLm : ChatMl with { DefaultSystem = system };
    }

    private static ChatTemplate RecogniseAlpaca(string jinja)
    {
        ChatTemplate alpaca = Named("alpaca") with { DefaultSystem = Literal(jinja, "Below is an instruction") };
        return jinja.Contains("eos_token", StringComparison.Ordinal)
            ? alpaca with { Answer = alpaca.Answer.Replace("{answer}", "{answer}" + ChatTemplate.EosPart, StringComparison.Ordinal) }
            : alpaca;
    }

    // Llama 2 and Mistral write the same brackets: with BOS once or before each turn, the system prompt marked or not, and other blanks.
    private static ChatTemplate RecogniseBrackets(string jinja, bool isTrimmed)
    {
        string open = BosBeforeBracket().IsMatch(jinja) ? ChatTemplate.BosPart : BlankBeforeBracket().IsMatch(jinja) ? " " : "";
        open += "[INST] ";
        string close = BlankBeforeClosing().IsMatch(jinja) ? " [/INST]" : "[/INST]";
        bool alternates = jinja.Contains("% 2", StringComparison.Ordinal) && jinja.Contains("raise_exception", StringComparison.Ordinal);
        if (jinja.Contains("<<SYS>>", StringComparison.Ordinal))
        {
            ChatTemplate llama2 = Named("llama2") with
            {
                User = open + "{user}" + close,
                UserWithSystem = open + "<<SYS>>\n{system}\n<</SYS>>\n\n{user}" + close,
                Alternates = alternates,
            };
            bool trimsTogether = jinja.Contains(" content.strip()", StringComparison.Ordinal); // system prompt and message as one text
            return !isTrimmed ? llama2 : !trimsTogether ? Trimmed(llama2) : Trimmed(llama2) with
            {
                UserWithSystem = llama2.UserWithSystem.Replace("{user}", "{user|rtrim}", StringComparison.Ordinal),
            };
        }
        string before = BlankBeforeAnswer().IsMatch(jinja) ? " " : "", after = BlankAfterEos().IsMatch(jinja) ? " " : "";
        bool takesSystem = jinja.Contains("system", StringComparison.Ordinal);
        return Named(close[0] == ' ' ? "mistral-v1" : "mistral-v3") with
        {
            User = open + "{user}" + close,
            UserWithSystem = takesSystem ? open + "{system}\n\n{user}" + close : null,
            IsSystemInLast = takesSystem && !jinja.Contains("loop.first", StringComparison.Ordinal),
            Answer = before + (isTrimmed ? "{answer|trim}" : "{answer}") + ChatTemplate.EosPart + after,
            Alternates = alternates,
        };
    }

    private static ChatTemplate Trimmed(ChatTemplate template) =>
        WithParts(Untrimmed(template), text => text?.Replace("{user}", "{user|trim}", StringComparison.Ordinal)
            .Replace("{answer}", "{answer|trim}", StringComparison.Ordinal).Replace("{system}", "{system|trim}", StringComparison.Ordinal));

    private static ChatTemplate Untrimmed(ChatTemplate template) =>
        WithParts(template, text => text?.Replace("|trim}", "}", StringComparison.Ordinal));

    private static ChatTemplate WithParts(ChatTemplate template, Func<string?, string?> change) => template with
    {
        User = change(template.User)!,
        Answer = change(template.Answer)!,
        System = change(template.System),
        UserWithSystem = change(template.UserWithSystem),
    };

    /// <summary>
    /// What follows a text in a template up to another one, where both are in the same string and not joined from several; with an empty
    /// end the string itself.
    /// </summary>
    private static string? Literal(string jinja, string start, string end = "")
    {
        for (int at = jinja.IndexOf(start, StringComparison.Ordinal); at >= 0; at = jinja.IndexOf(start, at + 1, StringComparison.Ordinal))
        {
            string text = StringAt(jinja, at);
            int length = end.Length == 0 ? text.Length : text.IndexOf(end, StringComparison.Ordinal);
            if (length > start.Length)
                return end.Length == 0 ? text.TrimEnd() : text[start.Length..length];
        }
        return null;
    }

    // The rest of the string, or of the plain text, in which a place lies, without its escapes.
    private static string StringAt(string jinja, int at)
    {
        char quote = at > 0 && jinja[at - 1] is '\'' or '"' ? jinja[at - 1] : '\0';
        StringBuilder text = new();
        for (; at < jinja.Length && jinja[at] != quote && jinja[at] != '{'; at++)
        {
            if (jinja[at] == '\\' && quote != '\0' && at + 1 < jinja.Length)
                text.Append(jinja[++at] == 'n' ? '\n' : jinja[at]);
            else
                text.Append(jinja[at]);
        }
        return text.ToString();
    }

    [GeneratedRegex(@"bos_token\s*[+~]\s*['""]\[INST\]")]
    private static partial Regex BosBeforeBracket();

    [GeneratedRegex(@"['""] \[INST\] ")]
    private static partial Regex BlankBeforeBracket();

    [GeneratedRegex(@" \[/INST\]")]
    private static partial Regex BlankBeforeClosing();

    [GeneratedRegex(@"['""] ['""]\s*[+~]")]
    private static partial Regex BlankBeforeAnswer();

    [GeneratedRegex(@"eos_token\s*[+~]\s*['""] ['""]")]
    private static partial Regex BlankAfterEos();
}
