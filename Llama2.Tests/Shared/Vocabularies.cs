using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using System.Text.Json;

namespace Llama2.Tests.Shared;

/// <summary>Tokenizers made of the files that their makers publish, with what a GGUF file would hold of them.</summary>
internal static class Vocabularies
{
    /// <summary>A file of the tokenizers' kit by its name, or null where it needs ../shared and that is not there.</summary>
    public static string? Find(string file) =>
        new[] { Repository.Golden(file), Repository.Shared("formats", "tokenizers", file), Repository.Shared("weights", file) }
            .FirstOrDefault(File.Exists);

    /// <summary>A .model of sentencepiece: a message of protobuf, in which 1 is a piece and 3 how text is normalised.</summary>
    public static SentencePieceTokenizer SentencePiece(string path)
    {
        List<byte[]> pieces = [];
        List<PieceType> types = [];
        List<float> scores = [];
        Dictionary<int, byte[]> normalizer = [];
        foreach ((int field, byte[] message) in Fields(File.ReadAllBytes(path)))
        {
            if (field == 1)
            {
                Dictionary<int, byte[]> piece = Last(message);
                pieces.Add(piece[1]);
                scores.Add(piece.TryGetValue(2, out byte[]? score) ? BinaryPrimitives.ReadSingleLittleEndian(score) : 0);
                types.Add(piece.TryGetValue(3, out byte[]? type) ? (PieceType)type[0] : PieceType.Normal);
            }
            else if (field == 3)
                normalizer = Last(message);
        }
        return new SentencePieceTokenizer(new Vocabulary(pieces, types, bos: 1, ends: [2]), scores)
        {
            AddsBlank = !normalizer.TryGetValue(3, out byte[]? adds) || adds[0] != 0,
            RemovesBlanks = !normalizer.TryGetValue(4, out byte[]? removes) || removes[0] != 0,
        };
    }

    /// <summary>The same tokenizer where texts do not begin with BOS.</summary>
    public static SentencePieceTokenizer WithoutBos(SentencePieceTokenizer tokenizer)
    {
        int[] ids = [.. Enumerable.Range(0, tokenizer.VocabSize)];
        Vocabulary vocabulary = new(
            [.. ids.Select(id => tokenizer.Piece(id).ToArray())],
            [.. ids.Select(id => Tokenizer.ParseByte(tokenizer.Piece(id)) is null ? PieceType.Normal : PieceType.Byte)],
            tokenizer.Bos, [tokenizer.Eos])
        {
            AddsBos = false,
        };
        return new SentencePieceTokenizer(vocabulary, ids.Select(tokenizer.Score));
    }

    private static Dictionary<int, byte[]> Last(byte[] message)
    {
        Dictionary<int, byte[]> fields = [];
        foreach ((int field, byte[] value) in Fields(message))
            fields[field] = value;
        return fields;
    }

    private static IEnumerable<(int Field, byte[] Value)> Fields(byte[] message)
    {
        for (int at = 0; at < message.Length;)
        {
            int tag = Varint(), start, length;
            switch (tag & 7)
            {
                case 0:
                    start = at;
                    Varint();
                    length = at - start;
                    break;
                case 2:
                    length = Varint();
                    start = at;
                    break;
                case 5:
                    (start, length) = (at, 4);
                    break;
                default:
                    throw new InvalidDataException($"wire type {tag & 7}");
            }
            at = start + length;
            yield return (tag >> 3, message[start..at]);

            int Varint()
            {
                int value = 0;
                for (int shift = 0; ; shift += 7)
                {
                    value |= (message[at] & 0x7F) << shift;
                    if (message[at++] < 0x80)
                        return value;
                }
            }
        }
    }

    /// <summary>The 11 special tokens of bpe-small, which follow its ranks.</summary>
    private static readonly string[] SmallSpecials =
    [
        "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>",
        "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
    ];

    /// <summary>The tokenizer of Llama 3's kind that this project trained.</summary>
    public static BytePairTokenizer Small() => TikToken(Repository.Golden("bpe-small.tiktoken"), SmallSpecials);

    /// <summary>Llama 3's own.</summary>
    public static BytePairTokenizer Llama3()
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Find("llama3.special_tokens.json")!));
        IEnumerable<string?> specials = json.RootElement.GetProperty("tokens").EnumerateArray().Select(token => token.GetString());
        return TikToken(Find("llama3.tiktoken.gz")!, [.. specials.OfType<string>()]);
    }

    /// <summary>
    /// A file of tiktoken: a line for each rank. The merges are, rank by rank, all pairs of ranks that are this one together, which is how
    /// Llama 3's merges for other programs were made.
    /// </summary>
    private static BytePairTokenizer TikToken(string path, string[] specials)
    {
        using Stream file = File.OpenRead(path);
        bool isZipped = path.EndsWith(".gz", StringComparison.Ordinal);
        using StreamReader reader = new(isZipped ? new GZipStream(file, CompressionMode.Decompress) : file);
        List<byte[]> ranks = [];
        while (reader.ReadLine() is { } line)
            ranks.Add(Convert.FromBase64String(line.Split(' ')[0]));
        Dictionary<string, int> ids = [];
        for (int id = 0; id < ranks.Count; id++)
            ids.Add(Encoding.Latin1.GetString(ranks[id]), id);
        List<(int, int, int)> merges = [];
        foreach ((string piece, int id) in ids.OrderBy(x => x.Value))
        {
            IEnumerable<(int, int, int)> splits = from cut in Enumerable.Range(1, piece.Length - 1)
                                                  where ids.ContainsKey(piece[..cut]) && ids.ContainsKey(piece[cut..])
                                                  select (ids[piece[..cut]], ids[piece[cut..]], id);
            merges.AddRange(splits.Order());
        }
        byte[][] pieces = [.. ranks, .. specials.Select(Encoding.UTF8.GetBytes)];
        PieceType[] types = [.. ranks.Select(_ => PieceType.Normal), .. specials.Select(_ => PieceType.Control)];
        int[] ends = [.. new[] { "<|eot_id|>", "<|end_of_text|>" }.Select(end => ranks.Count + Array.IndexOf(specials, end))];
        return new BytePairTokenizer(new Vocabulary(pieces, types, ranks.Count, ends), merges, TextSplitter.Llama3, ignoresMerges: true);
    }
}
