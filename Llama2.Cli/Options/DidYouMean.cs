using Llama2.Cli.Models;

namespace Llama2.Cli.Options;

/// <summary>Guesses what a word means that is neither a command nor a model nor a file.</summary>
internal static class DidYouMean
{
    private const int MaxEdits = 2;

    /// <summary>The name that a word is likely meant to be, whatever the case of its letters; null if none is near.</summary>
    public static string? Guess(string word, IEnumerable<string> names) =>
        names.MinBy(name => Edits(word, name)) is { } guess && Edits(word, guess) <= Math.Min(MaxEdits, word.Length / 2) ? guess : null;

    /// <summary>What to say about it; null if it looks like a file, whose absence is better said.</summary>
    public static string? Answer(string word)
    {
        if (Path.GetFileName(word) != word || Path.HasExtension(word))
            return null;
        string? guess = Guess(word, Program.CommandNames.Concat(ModelFiles.KnownModels).Concat(ModelFiles.Names()));
        return $"{word}: there is no such command, model or file; "
            + (guess is not null ? $"did you mean {guess}?" : "llama2 --help lists the commands");
    }

    /// <summary>How many letters to add, take away or change to make one word of the other (Levenshtein).</summary>
    private static int Edits(string from, string to)
    {
        int[] row = [.. Enumerable.Range(0, to.Length + 1)]; // edits from the letters so far to each beginning of the other word
        for (int i = 0; i < from.Length; i++)
        {
            int diagonal = row[0]++;
            for (int j = 0; j < to.Length; j++)
                (diagonal, row[j + 1]) =
                    (row[j + 1], Math.Min(Math.Min(row[j], row[j + 1]) + 1,
                        diagonal + (char.ToLowerInvariant(from[i]) == char.ToLowerInvariant(to[j]) ? 0 : 1)));
        }
        return row[^1];
    }
}
