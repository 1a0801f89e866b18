using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Llama2.Cli.Models;
using Llama2.Cli.Terminal;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Generate;

/// <summary>
/// Many prompts, several of them in each forward pass. A prompt's text does not depend on the others: it is what generate
/// prints for it alone. Texts come in the order of their prompts.
/// </summary>
internal sealed class BatchRun(
    LoadedModel model, Func<Sequence> newSequence, Speculation speculation, string[] stops, int steps, bool silent,
    CancellationToken cancellation)
{
    private const int MaxSequences = 8; // in a forward pass
    private const int MaxWaiting = 64;  // texts that are not printed yet, since an earlier one goes on

    private static readonly JsonDocumentOptions Once = new() { AllowDuplicateProperties = false };

    private readonly HashSet<string> _unused = []; // names in the lines that mean nothing here, said once
    private bool _bad;

    /// <summary>Runs the prompts of a file: a JSON object a line, with a string "prompt" and perhaps a number "seed".</summary>
    /// <returns>The exit code: a bad line is reported and skipped, and makes it 2.</returns>
    public int Run(string path)
    {
        using LineReader lines = new(Input.Open(path, cancellation), path);
        using IEnumerator<Story> stories = Read(lines, path).GetEnumerator();
        Batch batch = new(model.Transformer, speculation.Policy);
        List<Story> running = [];
        Queue<Story> unprinted = new(); // in order
        Sequence? last = null; // that was printed
        for (bool more = true; ;)
        {
            while (more && running.Count < MaxSequences && unprinted.Count < MaxWaiting && (more = stories.MoveNext()))
            {
                batch.Add(stories.Current.Sequence);
                running.Add(stories.Current);
                unprinted.Enqueue(stories.Current);
            }
            if (running.Count == 0 || cancellation.IsCancellationRequested)
                break;
            batch.Step();
            running.ForEach(story => story.Add(story.Sequence.NewText));
            running.RemoveAll(story => story.Sequence.End is not null);
            while (unprinted.TryPeek(out Story? first) && first.Sequence.End is not null)
            {
                Output.WriteLine(ResultJson.Line(unprinted.Dequeue().Result));
                last = first.Sequence;
            }
        }
        if (last is not null)
            FiniteWeights.NoteOn(last, model);
        if (!silent && speculation.Summary is { } summary)
            Notes.Write(summary);
        return cancellation.IsCancellationRequested ? Interrupt.ExitCode : _bad ? ExitCode.BadFile : ExitCode.Success;
    }

    private IEnumerable<Story> Read(LineReader lines, string path)
    {
        for (int line = 1; lines.Read(cancellation) is { } json; line++)
        {
            if (line == 1 && json.AsSpan().StartsWith(Encoding.UTF8.Preamble))
                json = json[Encoding.UTF8.Preamble.Length..];
            if (json.Length == 0)
                continue;
            (string Text, ulong? Seed, string[] Others) prompt;
            try
            {
                prompt = Parse(json);
            }
            catch (FormatException e)
            {
                _bad = true;
                Notes.Write($"llama2: {path}: line {line}: {e.Message}");
                continue;
            }
            if (!silent && prompt.Others.Where(_unused.Add).ToArray() is { Length: > 0 } unused)
                Notes.Write($"{path}: line {line}: not used: {string.Join(", ", unused)}");
            Story story = Begin(line, prompt.Text, prompt.Seed);
            if (story.LeftOut is { } note && !silent)
                Notes.Write($"{path}: line {line}: {note}");
            yield return story;
        }
    }

    /// <summary>The prompt of a line, its seed if it has one, and the names of its other fields.</summary>
    /// <exception cref="FormatException">It is no such object.</exception>
    private static (string Text, ulong? Seed, string[] Others) Parse(byte[] json)
    {
        if (!Utf8.IsValid(json))
            throw new FormatException("no JSON, which is UTF-8"); // to put U+FFFD in its place would be another prompt
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, Once);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                throw new FormatException("expected an object");
            if (!root.TryGetProperty("prompt", out JsonElement prompt))
                throw new FormatException("prompt: expected a string, found nothing");
            if (prompt.ValueKind != JsonValueKind.String)
                throw new FormatException($"prompt: expected a string, found {prompt.ValueKind}");
            ulong seed = 0;
            bool hasSeed = root.TryGetProperty("seed", out JsonElement number);
            if (hasSeed && (number.ValueKind != JsonValueKind.Number || !number.TryGetUInt64(out seed) || seed == 0))
                throw new FormatException("seed: expected a whole number from 1");
            IEnumerable<string> others = root.EnumerateObject().Select(field => field.Name).Where(name => name is not ("prompt" or "seed"));
            return (prompt.GetString()!, hasSeed ? seed : null, [.. others]);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter for half a surrogate pair
        {
            throw new FormatException("no JSON: " + e.Message.ReplaceLineEndings(" "));
        }
    }

    private Story Begin(int line, string prompt, ulong? seed)
    {
        Sequence sequence = newSequence();
        sequence.Sampler.RandomState = seed ?? sequence.Sampler.RandomState;
        PromptTokens tokens = PromptTokens.Of(model.Tokenizer, Encoding.UTF8.GetBytes(prompt), most: steps);
        return new Story(sequence, model.Tokenizer, tokens, steps, stops, line: line);
    }
}
