using System.Runtime.InteropServices;

namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// Drafts what followed the last three tokens where the text had them before (prompt lookup). It takes no memory to speak of, and pays
/// where a text repeats itself or its prompt. It serves one sequence.
/// </summary>
public sealed class LookupDrafter : IDrafter
{
    private const int Length = 3; // tokens that must be the same; two are found more often, but seldom go on in the same way

    private readonly Dictionary<(int, int, int), int> _ends = []; // the position behind the last place of three tokens
    private int _indexed = Length;                                // the first end that is not there yet

    public void Draft(ReadOnlySpan<Drafts> asked)
    {
        foreach (Drafts text in asked)
            Draft(text);
    }

    private void Draft(Drafts drafts)
    {
        ReadOnlySpan<int> tokens = drafts.Sequence.Tokens;
        if (tokens.Length < _indexed) // the text was cut
        {
            _ends.Clear();
            _indexed = Length;
        }
        if (tokens.Length < Length || drafts.Wanted == 0)
            return;
        for (; _indexed < tokens.Length; _indexed++)
            _ends[Key(tokens, _indexed)] = _indexed;
        ref int end = ref CollectionsMarshal.GetValueRefOrAddDefault(_ends, Key(tokens, tokens.Length), out bool occurred);
        int from = end;
        end = tokens.Length;
        _indexed = tokens.Length + 1;
        // other tokens may have taken the place of those that were indexed
        if (!occurred || from >= tokens.Length || Key(tokens, from) != Key(tokens, tokens.Length))
            return;
        for (int i = from; drafts.Count < drafts.Wanted; i++)
            drafts.Add(i < tokens.Length ? tokens[i] : drafts.Tokens[i - tokens.Length]);
    }

    private static (int, int, int) Key(ReadOnlySpan<int> tokens, int end) => (tokens[end - 3], tokens[end - 2], tokens[end - 1]);
}
