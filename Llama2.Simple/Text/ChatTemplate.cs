using System.Text;

namespace Llama2.Simple.Text;

/// <summary>
/// How a conversation becomes the text that a model was tuned on. A template makes tokens, not text: BOS, EOS and markers come from the
/// template alone. A marker typed by the user is encoded as byte tokens: the same text without the control meaning.
/// </summary>
/// <param name="Name">The name that --template takes.</param>
/// <param name="Turn">A turn; {user} is the user's text.</param>
/// <param name="FirstWithSystem">The first turn where there is a system prompt, {system}.</param>
public sealed record ChatTemplate(string Name, string Turn, string FirstWithSystem)
{
    private const string SystemPart = "{system}", UserPart = "{user}";

    /// <summary>The templates, the default one first.</summary>
    public static IReadOnlyList<ChatTemplate> All { get; } =
    [
        new("llama2", "[INST] {user} [/INST]", "[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]")
        {
            Markers = ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"],
            BosEachTurn = true,
            EosEndsAnswer = true,
        },
        new("plain", "{user}", "{system} {user}") { IsContinuation = true },
        new("alpaca", "### Instruction:\n{user}\n\n### Response:\n", "{system}\n\n### Instruction:\n{user}\n\n### Response:\n")
        {
            AnswerEnd = "\n\n",
            Markers = ["### Instruction:", "### Response:"],
            Stops = ["### Instruction:"],
        },
        new("chatml", "<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n",
            "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n")
        {
            AnswerEnd = "<|im_end|>\n",
            Markers = ["<|im_start|>", "<|im_end|>"],
            Stops = ["<|im_end|>"],
        },
        new("vicuna", "USER: {user} ASSISTANT:", "{system} USER: {user} ASSISTANT:")
        {
            Markers = ["USER:", "ASSISTANT:"],
            Stops = ["USER:"],
            EosEndsAnswer = true,
        },
    ];

    public string AnswerEnd { get; init; } = "";              // text between an answer and the next turn
    public IReadOnlyList<string> Markers { get; init; } = []; // strings with a control meaning, which a user must not be able to say
    public IReadOnlyList<string> Stops { get; init; } = [];   // strings that end an answer, besides BOS and EOS
    public bool BosEachTurn { get; init; }                    // whether each turn begins with BOS, or only the first
    public bool EosEndsAnswer { get; init; }                  // whether EOS stands between an answer and the next turn
    public bool IsContinuation { get; init; }                 // whether a turn goes on with the text, or begins a new one after its end

    /// <summary>The tokens that a turn adds to a conversation, up to where the model's answer begins.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="user">The user's text.</param>
    /// <param name="system">The system prompt, empty if there is none; only the first turn has it.</param>
    /// <param name="first">Whether it is the first turn.</param>
    /// <param name="ended">Whether the model ended its last answer itself.</param>
    public int[] Encode(ITokenizer tokenizer, string user, string system = "", bool first = true, bool ended = true)
    {
        List<int> ids = [];
        if (!first && EosEndsAnswer)
            ids.Add(tokenizer.Eos);
        if (first || BosEachTurn || (IsContinuation && ended))
            ids.Add(tokenizer.Bos);
        bool blank = ids.Count > 0 || IsContinuation;

        StringBuilder text = new();
        string template = (first ? "" : AnswerEnd) + (first && system.Length > 0 ? FirstWithSystem : Turn);
        foreach (string part in Split(template, [SystemPart, UserPart]))
        {
            string? typed = part == SystemPart ? system : part == UserPart ? user : null;
            foreach (string piece in Split(typed ?? part, Markers))
            {
                byte[] utf8 = Encoding.UTF8.GetBytes(piece);
                int[]? marker = !Markers.Contains(piece) ? null
                    : typed is not null ? tokenizer.EncodeBytes(utf8)
                    : tokenizer.Find(utf8) is { } id ? [id] : null; // it may be one token that no merge reaches
                if (marker is null)
                {
                    text.Append(piece);
                    continue;
                }
                Flush();
                ids.AddRange(marker);
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

    // A text cut before and after each of these words, the longest first where several begin together.
    private static IEnumerable<string> Split(string text, IReadOnlyList<string> words)
    {
        int start = 0, next;
        for (int i = 0; i < text.Length; i = next)
        {
            string? found = words.Where(word => text.AsSpan(i).StartsWith(word)).MaxBy(word => word.Length);
            next = i + (found?.Length ?? 1);
            if (found is null)
                continue;
            yield return text[start..i];
            yield return found;
            start = next;
        }
        yield return text[start..];
    }
}
