using System.Text;

namespace Llama2.Simple.Text;

/// <summary>
/// How a conversation becomes the text that a model was tuned on. A template makes tokens, not text: BOS, EOS and markers come from the
/// template alone. A marker typed by the user never has its control meaning: where it is a control token, no text becomes one; elsewhere
/// it is encoded as byte tokens.
/// </summary>
/// <remarks>
/// In the parts, {bos} and {eos} stand for the tokens, {user}, {answer} and {system} for what was said, with |trim or |rtrim where white
/// space around it or behind it is left out. In a running conversation the blanks around an answer are the model's own to say.
/// </remarks>
/// <param name="Name">The name that --template takes.</param>
/// <param name="User">A message of the user.</param>
/// <param name="Answer">A message of the model; up to {answer} it is what the model is shown to make it answer.</param>
public sealed record ChatTemplate(string Name, string User, string Answer)
{
    public string Begin { get; init; } = "";                  // before all messages
    public string? System { get; init; }                      // the system prompt, before the other messages
    public string? UserWithSystem { get; init; }              // or the user's message that holds it; a template may have neither
    public bool IsSystemInLast { get; init; }                 // whether that is the user's last message and not the first
    public string? DefaultSystem { get; init; }               // the system prompt where none is given; null leaves the part out
    public string Between { get; init; } = "";                // text between two messages
    public bool Alternates { get; init; }                     // whether user and model must speak in turn
    public IReadOnlyList<string> Markers { get; init; } = []; // strings with a control meaning, which a user must not be able to say
    public IReadOnlyList<string> Stops { get; init; } = [];   // strings that end an answer, besides the tokens that do
    public bool IsContinuation { get; init; }                 // whether a turn goes on with the text, or begins a new one after its end
    public string Date { get; init; } = "26 Jul 2024";        // for {date}; today's only if whoever asks says so

    /// <exception cref="ChatTemplateException">The template has no place for a system prompt.</exception>
    public void CheckSystem(string system)
    {
        if (system.Length > 0 && !TakesSystem)
            throw new ChatTemplateException($"template {Name} has no place for a system prompt");
    }

    public bool TakesSystem => (System ?? UserWithSystem) is not null;

    /// <summary>A part of a rendered conversation.</summary>
    /// <param name="IsTyped">Whether it was said, and is no text of the template.</param>
    private readonly record struct Part(string Text, bool IsTyped);

    internal const string BosPart = "{bos}", EosPart = "{eos}";
    private const string AnswerPart = "{answer";

    private static readonly string[] Placeholders =
    [
        BosPart, EosPart, "{date}", "{system}", "{user}", "{answer}", "{system|trim}", "{user|trim}", "{answer|trim}", "{user|rtrim}",
    ];

    private string BeforeAnswer => Answer[..Answer.IndexOf(AnswerPart, StringComparison.Ordinal)].TrimEnd(' ');
    private string AfterAnswer => Answer[(Answer.IndexOf('}', Answer.IndexOf(AnswerPart, StringComparison.Ordinal)) + 1)..].TrimStart(' ');

    /// <summary>The tokens that a turn adds to a conversation, up to where the model's answer begins.</summary>
    /// <param name="system">
    /// The system prompt, empty if there is none; only the first turn has it, also where the template would move it to the last one.
    /// </param>
    /// <param name="ended">Whether the model ended its last answer itself.</param>
    /// <exception cref="ChatTemplateException">The template has no place for a system prompt.</exception>
    public int[] Encode(ITokenizer tokenizer, string user, string system = "", bool first = true, bool ended = true)
    {
        List<Part> parts = [];
        if (first)
            parts = Parts(system.Length > 0 ? [new(Speaker.System, system), new(Speaker.User, user)] : [new(Speaker.User, user)], true);
        else
        {
            if (IsContinuation && ended)
                Add(parts, BosPart);
            Add(parts, AfterAnswer + Between);
            Add(parts, User, user);
            Add(parts, Between + BeforeAnswer);
        }
        return Encode(tokenizer, parts, first);
    }

    /// <summary>The tokens of a whole conversation; BOS is first where the template or the tokenizer says so.</summary>
    /// <param name="messages">The messages, a system prompt first if there is one.</param>
    /// <param name="asks">Whether the model is to answer, so that the beginning of its message is the end.</param>
    /// <exception cref="ChatTemplateException">The template has no form for these messages.</exception>
    public int[] Encode(ITokenizer tokenizer, IReadOnlyList<Message> messages, bool asks = true) =>
        Encode(tokenizer, Parts(messages, asks), first: true);

    /// <summary>The text of a conversation, as the template in a model's file writes it.</summary>
    /// <param name="messages">The messages, a system prompt first if there is one.</param>
    /// <param name="bos">The text that stands for BOS.</param>
    /// <param name="eos">The text that stands for EOS.</param>
    /// <exception cref="ChatTemplateException">The template has no form for these messages.</exception>
    public string Render(IReadOnlyList<Message> messages, string bos, string eos, bool asks = true) =>
        string.Concat(Parts(messages, asks).Select(part => part switch
        {
            (BosPart, false) => bos,
            (EosPart, false) => eos,
            _ => part.Text,
        }));

    private List<Part> Parts(IReadOnlyList<Message> messages, bool asks)
    {
        string? given = messages is [{ Speaker: Speaker.System, Text: var text }, ..] ? text : null;
        Message[] rest = [.. messages.Skip(given is null ? 0 : 1)];
        CheckSystem(given ?? "");
        CheckOrder(rest);
        string? system = given ?? DefaultSystem;
        int holder = system is null || UserWithSystem is null ? -1 // of the system prompt among the messages
            : IsSystemInLast ? Array.FindLastIndex(rest, message => message.Speaker == Speaker.User)
            : IsEmpty(system) ? -1
            : Array.FindIndex(rest, message => message.Speaker == Speaker.User);
        List<Part> parts = [];
        Add(parts, Begin);
        bool hasBlock = System is not null && system is not null;
        if (hasBlock)
            Add(parts, System!, system: system!);
        for (int i = 0; i < rest.Length; i++)
        {
            if (i > 0 || hasBlock)
                Add(parts, Between);
            if (rest[i].Speaker == Speaker.Assistant)
                Add(parts, Answer, answer: rest[i].Text);
            else
                Add(parts, i == holder ? UserWithSystem! : User, rest[i].Text, system ?? "");
        }
        if (asks)
            Add(parts, Between + BeforeAnswer);
        return parts;
    }

    private bool IsEmpty(string system) =>
        (UserWithSystem!.Contains("{system|trim}", StringComparison.Ordinal) ? Trim(system) : system).Length == 0;

    private void CheckOrder(Message[] rest)
    {
        for (int i = 0; i < rest.Length; i++)
        {
            if (rest[i].Speaker == Speaker.System)
                throw new ChatTemplateException($"template {Name}: a system prompt comes first, and there is one at most");
            if (Alternates && rest[i].Speaker != (i % 2 == 0 ? Speaker.User : Speaker.Assistant))
                throw new ChatTemplateException($"template {Name}: user and assistant must speak in turn, the user first");
        }
    }

    private void Add(List<Part> parts, string template, string user = "", string system = "", string answer = "")
    {
        foreach (string part in Split(template, Placeholders).Where(part => part.Length > 0))
        {
            parts.Add(part switch
            {
                "{date}" => new(Date, true),
                "{system}" => new(system, true),
                "{system|trim}" => new(Trim(system), true),
                "{user}" => new(user, true),
                "{user|trim}" => new(Trim(user), true),
                "{user|rtrim}" => new(user.TrimEnd(White), true),
                "{answer}" => new(answer, true),
                "{answer|trim}" => new(Trim(answer), true),
                _ => new(part, false),
            });
        }
    }

    // White space to Python, whose strip() the templates call.
    private static readonly char[] White =
        [.. Enumerable.Range(0, char.MaxValue).Select(c => (char)c).Where(c => char.IsWhiteSpace(c) || c is >= '\x1c' and <= '\x1f')];

    private static string Trim(string text) => text.Trim(White);

    private int[] Encode(ITokenizer tokenizer, List<Part> parts, bool first)
    {
        List<int> ids = [];
        StringBuilder text = new();
        bool blank = first || IsContinuation; // whether the text that follows is the first after its beginning or after a special token
        if (first && tokenizer.AddsBos && parts is not [(BosPart, false), ..])
            ids.Add(tokenizer.Bos);
        foreach (Part part in parts)
        {
            if (part is (BosPart or EosPart, false))
            {
                AddSpecial(part.Text == BosPart ? tokenizer.Bos : tokenizer.Eos);
                continue;
            }
            foreach (string piece in Split(part.Text, Markers))
            {
                byte[] utf8 = Encoding.UTF8.GetBytes(piece);
                int? special = tokenizer.Special(utf8), found = tokenizer.Find(utf8);
                bool isSafe = special is not null && special != found; // no text becomes the marker's token
                if (!Markers.Contains(piece) || (part.IsTyped && isSafe))
                    text.Append(piece);
                else if (part.IsTyped)
                    AddTokens(tokenizer.EncodeBytes(utf8));
                else if (special is { } id)
                    AddSpecial(id);
                else if (found is { } token)
                    AddTokens([token]); // no merge may reach it
                else
                    text.Append(piece);
            }
        }
        AddTokens([]);
        return [.. ids];

        void AddTokens(ReadOnlySpan<int> tokens)
        {
            ids.AddRange(tokenizer.Encode(text.ToString(), bos: false, blank: blank));
            text.Clear();
            blank = false;
            ids.AddRange(tokens);
        }

        void AddSpecial(int id)
        {
            AddTokens([id]);
            blank = true;
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
