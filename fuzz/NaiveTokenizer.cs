using System.Text;
using Llama2.Simple;

namespace Llama2.Fuzz;

/// <summary>
/// The encoder as run.c's algorithm says it, without any of the cleverness of <see cref="Tokenizer"/>: every
/// merge looks at every pair again.
/// </summary>
internal sealed class NaiveTokenizer(Tokenizer tokenizer)
{
    private readonly string[] _pieces = [.. Enumerable.Range(0, tokenizer.VocabSize).Select(id => Encoding.Latin1.GetString(tokenizer.Piece(id)))];

    // the first of equal pieces; BOS and EOS are never found
    private readonly Dictionary<string, int> _ids = Enumerable.Range(0, tokenizer.VocabSize).Where(id => id is not (Tokenizer.Bos or Tokenizer.Eos))
        .GroupBy(id => Encoding.Latin1.GetString(tokenizer.Piece(id))).ToDictionary(same => same.Key, same => same.Min());

    public List<int> Encode(ReadOnlySpan<byte> utf8)
    {
        List<int> ids = [];
        if (utf8.Length > 0 && Find(" ") is { } blank)
            ids.Add(blank);

        string codepoint = "";
        for (int i = 0; i < utf8.Length; i++)
        {
            codepoint += (char)utf8[i];
            bool continues = i + 1 < utf8.Length && (utf8[i + 1] & 0xC0) == 0x80;
            if (continues && codepoint.Length < 4)
                continue;
            ids.AddRange(Find(codepoint) is { } id ? [id] : codepoint.Select(ByteToken));
            codepoint = "";
        }

        while (true)
        {
            float bestScore = -1e10f;
            int bestId = -1, bestIndex = -1;
            for (int i = 0; i + 1 < ids.Count; i++)
            {
                if (Find(_pieces[ids[i]] + _pieces[ids[i + 1]]) is { } id && tokenizer.Score(id) > bestScore)
                    (bestScore, bestId, bestIndex) = (tokenizer.Score(id), id, i);
            }
            if (bestIndex < 0)
                break;
            ids[bestIndex] = bestId;
            ids.RemoveAt(bestIndex + 1);
        }
        ids.Insert(0, Tokenizer.Bos);
        return ids;
    }

    private int? Find(string piece) => _ids.TryGetValue(piece, out int id) ? id : null;

    private int ByteToken(char value) => 3 + value < _pieces.Length && IsByte(_pieces[3 + value], value) ? 3 + value : Tokenizer.Unknown;

    private static bool IsByte(string piece, char value) =>
        piece.StartsWith("<0x", StringComparison.Ordinal) && piece.Equals($"<0x{(int)value:X2}>", StringComparison.OrdinalIgnoreCase);
}
