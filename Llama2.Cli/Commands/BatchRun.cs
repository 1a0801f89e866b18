using System.Text;
using System.Text.Json;
using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>
/// Many prompts, several of them in each forward pass. A prompt's text does not depend on the others: it is what generate
/// prints for it alone. Texts come in the order of their prompts.
/// </summary>
internal sealed class BatchRun(LoadedModel model, Func<Session> newSession, string[] stops, int steps, CancellationToken cancellation)
{
    private const int Together = 8, Waiting = 64; // sequences in a pass; texts that may wait for an earlier one

    private bool _bad;

    /// <summary>Runs the prompts of a file: a JSON object a line, with a string "prompt" and perhaps a number "seed".</summary>
    /// <returns>The exit code: a bad line is reported and skipped, and makes it 2.</returns>
    public int Run(string path)
    {
        using StreamReader reader = path == "-" ? new(Console.OpenStandardInput(), Encoding.UTF8) : new(path, Encoding.UTF8);
        using IEnumerator<Sequence> prompts = Read(reader, path).GetEnumerator();
        List<Sequence> running = [];
        Queue<Sequence> unprinted = new(); // in order
        for (bool more = true; ;)
        {
            while (more && running.Count < Together && unprinted.Count < Waiting && (more = prompts.MoveNext()))
            {
                running.Add(prompts.Current);
                unprinted.Enqueue(prompts.Current);
            }
            if (running.Count == 0 || cancellation.IsCancellationRequested)
                break;
            Session.FeedTogether([.. running.Select(sequence => (sequence.Session, sequence.NextPart()))]);
            running.RemoveAll(sequence => !sequence.Continue());
            while (unprinted.TryPeek(out Sequence? first) && first.Result is { } text)
            {
                Output.WriteLine(ResultJson.Line(text));
                unprinted.Dequeue();
            }
        }
        return cancellation.IsCancellationRequested ? Program.Interrupted : _bad ? Program.BadFile : Program.Success;
    }

    private IEnumerable<Sequence> Read(StreamReader reader, string path)
    {
        for (int line = 1; reader.ReadLine() is { } json; line++)
        {
            if (json.Length == 0)
                continue;
            if (Parse(json, out string? problem) is { } prompt)
            {
                yield return new Sequence(line, newSession(), model.Tokenizer, prompt, steps, stops);
                continue;
            }
            _bad = true;
            Console.Error.WriteLine($"llama2: {path}: line {line}: {problem}");
        }
    }

    private static (string Text, ulong? Seed)? Parse(string json, out string? problem)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            ulong seed = 0;
            JsonElement root = document.RootElement;
            problem = root.ValueKind != JsonValueKind.Object ? "expected an object"
                : !root.TryGetProperty("prompt", out JsonElement prompt) ? "prompt: expected a string, found nothing"
                : prompt.ValueKind != JsonValueKind.String ? $"prompt: expected a string, found {prompt.ValueKind}"
                : root.TryGetProperty("seed", out JsonElement number) && (number.ValueKind != JsonValueKind.Number || !number.TryGetUInt64(out seed) || seed == 0) ? "seed: expected a whole number from 1"
                : null;
            return problem is null ? (root.GetProperty("prompt").GetString()!, seed == 0 ? null : seed) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            problem = "no JSON: " + e.Message.ReplaceLineEndings(" ");
            return null;
        }
    }

    /// <summary>A prompt on its way to a text.</summary>
    private sealed class Sequence
    {
        private readonly int _line, _steps, _promptTokens;
        private readonly StoppableText _text;
        private readonly StringBuilder _all = new();
        private readonly bool _cut;
        private int[] _unfed;
        private int _generated;

        public Sequence(int line, Session session, Tokenizer tokenizer, (string Text, ulong? Seed) prompt, int steps, string[] stops)
        {
            (_line, Session, _steps) = (line, session, steps);
            session.Sampler.RandomState = prompt.Seed ?? session.Sampler.RandomState;
            int[] tokens = tokenizer.Encode(prompt.Text);
            _cut = tokens.Length > steps;
            _unfed = tokens[..Math.Min(steps, tokens.Length)];
            _promptTokens = _unfed.Length;
            _text = new StoppableText(tokenizer, tokens[0], stops);
            foreach (int token in tokens[1..Math.Min(steps + 1, tokens.Length)])
                _all.Append(_text.AppendPrompt(token));
        }

        public Session Session { get; }

        /// <summary>The text, when it is done.</summary>
        public TextResult? Result { get; private set; }

        /// <summary>The tokens of the next forward pass.</summary>
        public int[] NextPart()
        {
            int[] part = _unfed[..Math.Min(_unfed.Length, Session.BatchSize)];
            _unfed = _unfed[part.Length..];
            return part;
        }

        /// <summary>Samples after a forward pass; false when the text is done.</summary>
        public bool Continue()
        {
            if (_unfed.Length > 0)
                return true;
            if (_cut)
                return End("length");
            int next = Session.Sample();
            _generated++;
            if (next == Tokenizer.Bos)
                return End("end");
            _all.Append(_text.Append(next));
            if (_text.Stopped)
                return End("stop");
            if (Session.Tokens.Length >= _steps)
                return End("length");
            _unfed = [next];
            return true;
        }

        private bool End(string reason)
        {
            Result = new TextResult(_line, _all.Append(_text.Flush()).ToString(), _promptTokens, _generated, reason);
            return false;
        }
    }
}
