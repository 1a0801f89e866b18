using System.Text;

namespace Llama2.Simple;

/// <summary>
/// How a conversation becomes the text that a model was tuned on. A template makes tokens, not text: BOS, EOS and markers
/// come from the template alone. A marker that a user typed becomes byte tokens, which read the same and are not it.
/// </summary>
public sealed record ChatTemplate
{
    private const string SystemPart = "{system}", UserPart = "{user}";

    /// <summary>The templates, the default one first.</summary>
    public static IReadOnlyList<ChatTemplate> All { get; } =
    [
        new()
        {
            Name = "llama2",
            Turn = "[INST] {user} [/INST]",
            FirstWithSystem = "[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]",
            Markers = ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"],
            BosEachTurn = true,
            EosEndsAnswer = true,
        },
        new() { Name = "plain", Turn = "{user}", FirstWithSystem = "{system} {user}", IsContinuation = true },
        new()
        {
            Name = "alpaca",
            Turn = "### Instruction:\n{user}\n\n### Response:\n",
            FirstWithSystem = "{system}\n\n### Instruction:\n{user}\n\n### Response:\n",
            AnswerEnd = "\n\n",
            Markers = ["### Instruction:", "### Response:"],
            Stops = ["### Instruction:"],
        },
        new()
        {
            Name = "chatml",
            Turn = "<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n",
            FirstWithSystem = "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n",
            AnswerEnd = "<|im_end|>\n",
            Markers = ["<|im_start|>", "<|im_end|>"],
            Stops = ["<|im_end|>"],
        },
        new()
        {
            Name = "vicuna",
            Turn = "USER: {user} ASSISTANT:",
            FirstWithSystem = "{system} USER: {user} ASSISTANT:",
            Markers = ["USER:", "ASSISTANT:"],
            Stops = ["USER:"],
            EosEndsAnswer = true,
        },
    ];

    /// <summary>What it is called.</summary>
    public required string Name { get; init; }

    /// <summary>A turn; {user} is what the user says.</summary>
    public required string Turn { get; init; }

    /// <summary>The first turn where there is a system prompt, {system}.</summary>
    public required string FirstWithSystem { get; init; }

    /// <summary>Text between an answer and the next turn.</summary>
    public string AnswerEnd { get; init; } = "";

    /// <summary>What a user must not be able to say.</summary>
    public IReadOnlyList<string> Markers { get; init; } = [];

    /// <summary>What ends an answer besides BOS and EOS.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    /// <summary>Whether each turn begins with BOS, or only the first.</summary>
    public bool BosEachTurn { get; init; }

    /// <summary>Whether EOS stands between an answer and the next turn.</summary>
    public bool EosEndsAnswer { get; init; }

    /// <summary>Whether a turn just goes on with the text; BOS then begins a new text where the model ended the last one.</summary>
    public bool IsContinuation { get; init; }

    /// <summary>The tokens that a turn adds to a conversation, up to where the model's answer begins.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="user">What the user says.</param>
    /// <param name="system">The system prompt, empty if there is none; only the first turn has it.</param>
    /// <param name="first">Whether it is the first turn.</param>
    /// <param name="ended">Whether the model ended its last answer itself.</param>
    public int[] Encode(Tokenizer tokenizer, string user, string system = "", bool first = true, bool ended = true)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        List<int> ids = [];
        if (!first && EosEndsAnswer)
            ids.Add(Tokenizer.Eos);
        if (first || BosEachTurn || (IsContinuation && ended))
            ids.Add(Tokenizer.Bos);
        bool blank = ids.Count > 0 || IsContinuation;

        StringBuilder text = new();
        string template = (first ? "" : AnswerEnd) + (first && system.Length > 0 ? FirstWithSystem : Turn);
        foreach (string part in Split(template, [SystemPart, UserPart]))
        {
            string? typed = part == SystemPart ? system : part == UserPart ? user : null;
            foreach (string piece in Split(typed ?? part, Markers))
            {
                if (!Markers.Contains(piece))
                {
                    text.Append(piece);
                }
                else if (typed is not null)
                {
                    Flush();
                    ids.AddRange(tokenizer.EncodeBytes(Encoding.UTF8.GetBytes(piece)));
                }
                else if (tokenizer.Find(piece) is { } id) // a vocabulary may have it in one piece, which merges do not reach
                {
                    Flush();
                    ids.Add(id);
                }
                else
                {
                    text.Append(piece);
                }
            }
        }
        Flush();
        return [.. ids];

        void Flush()
        {
            ids.AddRange(tokenizer.Encode(text.ToString(), bos: false, blank: blank));
            text.Clear();
            blank = false;
        }
    }

    /// <summary>A text cut before and after each of these words, the longest first where several begin together.</summary>
    private static IEnumerable<string> Split(string text, IReadOnlyList<string> words)
    {
        int start = 0;
        for (int i = 0; i < text.Length;)
        {
            if (words.Where(word => text.AsSpan(i).StartsWith(word)).MaxBy(word => word.Length) is not { } found)
            {
                i++;
                continue;
            }
            if (i > start)
                yield return text[start..i];
            yield return found;
            start = i += found.Length;
        }
        if (start < text.Length)
            yield return text[start..];
    }
}
