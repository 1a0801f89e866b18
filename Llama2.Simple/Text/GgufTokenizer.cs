using System.Text;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;

namespace Llama2.Simple.Text;

/// <summary>Makes the tokenizer that a GGUF file describes.</summary>
public static class GgufTokenizer
{
    private const string Prefix = "tokenizer.ggml.", Model = Prefix + "model", Splitter = Prefix + "pre", Tokens = Prefix + "tokens",
        Types = Prefix + "token_type", Scores = Prefix + "scores", Merges = Prefix + "merges",
        Bos = Prefix + "bos_token_id", Eos = Prefix + "eos_token_id", AddsBos = Prefix + "add_bos_token";

    /// <summary>The pieces with which chat models end a turn; a file names one of them as EOS and often not the others.</summary>
    private static readonly string[] EndPieces =
        ["<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>"];

    private const int MaxPieces = 1 << 20, MaxMerges = 1 << 20; // several times the largest there are

    private static readonly string[] EndKeys = [Prefix + "eot_token_id", Prefix + "eom_token_id"]; // beside EOS

    /// <summary>
    /// The tokenizer of a file: of the model "llama" (sentencepiece) or "gpt2" (byte pairs). The flag add_eos_token is not followed, since
    /// a prompt is to be gone on with.
    /// </summary>
    /// <exception cref="ModelFileException">
    /// It is of another model, or splits text in another way, or something is missing or wrong.
    /// </exception>
    public static ITokenizer Create(GgufMetadata metadata)
    {
        int count = metadata.GetLength(Tokens) ?? throw metadata.Error(Tokens, "the pieces of a vocabulary", "nothing");
        if (count is 0 or > MaxPieces)
            throw metadata.Error(Tokens, $"1 to {MaxPieces} pieces", $"{count}");
        byte[][] pieces = Array.ConvertAll(metadata.GetStrings(Tokens)!, piece => piece.ToArray());
        return metadata.GetString(Model) switch
        {
            "llama" => SentencePiece(metadata, pieces),
            "gpt2" => BytePair(metadata, pieces),
            _ => throw metadata.Error(Model, "llama or gpt2", Found(metadata, Model)),
        };
    }

    private static SentencePieceTokenizer SentencePiece(GgufMetadata metadata, byte[][] pieces)
    {
        int count = metadata.GetLength(Scores) ?? throw metadata.Error(Scores, "a score for each piece", "nothing");
        if (count != pieces.Length)
            throw metadata.Error(Scores, $"{pieces.Length} scores, as there are pieces", $"{count}");
        float[] scores = metadata.GetFloats(Scores)!;
        int bos = Id(metadata, Bos, pieces.Length) ?? Within(1), unknown = Id(metadata, Prefix + "unknown_token_id", pieces.Length) ?? 0;
        int[] ends = [Id(metadata, Eos, pieces.Length) ?? Within(2), .. OtherEnds(metadata, pieces)];
        PieceType[] types = ReadTypes(metadata, pieces.Length) ?? Array.ConvertAll(pieces, piece =>
            Tokenizer.ParseByte(piece) is null ? PieceType.Normal : PieceType.Byte);
        if (types[unknown] == PieceType.Normal)
            types[unknown] = PieceType.Unknown;
        Vocabulary vocabulary = new(pieces, types, bos, ends) { AddsBos = metadata.GetBool(AddsBos) ?? true };
        return new SentencePieceTokenizer(vocabulary, scores)
        {
            UnknownId = unknown,
            AddsBlank = metadata.GetBool(Prefix + "add_space_prefix") ?? true,
            RemovesBlanks = metadata.GetBool(Prefix + "remove_extra_whitespaces") ?? false,
        };

        int Within(int id) => Math.Min(id, pieces.Length - 1);
    }

    private static BytePairTokenizer BytePair(GgufMetadata metadata, byte[][] pieces)
    {
        Dictionary<byte[], int> written = new(PieceComparer.Instance); // ids of the pieces as the file has them
        for (int id = 0; id < pieces.Length; id++)
            written.TryAdd(pieces[id], id);
        (TextSplitter splitter, bool ignoresMerges) = FindSplitter(metadata, written.ContainsKey("<|begin_of_text|>"u8.ToArray()));
        (int, int, int)[] merges = ReadMerges(metadata, written);

        int[] ends = [.. Id(metadata, Eos, pieces.Length) is { } eos ? [eos] : Array.Empty<int>(), .. OtherEnds(metadata, pieces)];
        if (ends.Length == 0)
            throw metadata.Error(Eos, "the token that ends a text", "nothing");
        int bos = Id(metadata, Bos, pieces.Length) ?? ends[0];
        PieceType[] types = ReadTypes(metadata, pieces.Length) ?? Array.ConvertAll(pieces, _ => PieceType.Normal);
        for (int id = 0; id < pieces.Length; id++)
        {
            if (types[id] == PieceType.Normal)
                pieces[id] = ByteCharacters.Decode(pieces[id]) ?? pieces[id];
        }
        Vocabulary vocabulary = new(pieces, types, bos, ends) { AddsBos = metadata.GetBool(AddsBos) ?? splitter == TextSplitter.Llama3 };
        for (int value = 0; value < 256; value++)
        {
            if (vocabulary.Find([(byte)value]) is null)
                throw metadata.Error(Tokens, "a piece for each of the 256 bytes", $"none for {value}");
        }
        return new BytePairTokenizer(vocabulary, merges, splitter, ignoresMerges);
    }

    /// <summary>How words are split, and whether a word that is a piece is taken whole.</summary>
    private static (TextSplitter, bool) FindSplitter(GgufMetadata metadata, bool isLlama3) => metadata.GetString(Splitter) switch
    {
        "llama-bpe" or "llama3" or "llama-v3" => (TextSplitter.Llama3, true),
        null or "default" when isLlama3 => (TextSplitter.Llama3, true), // the first files of Llama 3 do not say it
        "smaug-bpe" => (TextSplitter.Llama3, false),
        "smollm" => (TextSplitter.SmolLm, false),
        "gpt-2" => (TextSplitter.Gpt2, false),
        _ => throw metadata.Error(Splitter, "llama-bpe, llama3, llama-v3, smaug-bpe, smollm or gpt-2", Found(metadata, Splitter)),
    };

    private static string Found(GgufMetadata metadata, string key) =>
        metadata.GetUtf8(key) is { } text ? GgufReader.Shown(text.Span) : "nothing";

    private static (int Left, int Right, int Merged)[] ReadMerges(GgufMetadata metadata, Dictionary<byte[], int> written)
    {
        int count = metadata.GetLength(Merges) ?? throw metadata.Error(Merges, "pairs of pieces", "nothing");
        if (count > MaxMerges)
            throw metadata.Error(Merges, $"at most {MaxMerges} pairs", $"{count}");
        ReadOnlyMemory<byte>[] texts = metadata.GetStrings(Merges)!;
        Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> ids = written.GetAlternateLookup<ReadOnlySpan<byte>>();
        (int, int, int)[] merges = new (int, int, int)[texts.Length];
        byte[] joined = new byte[texts.Length == 0 ? 0 : texts.Max(text => text.Length)];
        for (int i = 0; i < texts.Length; i++)
        {
            ReadOnlySpan<byte> text = texts[i].Span;
            int blank = text.Length > 1 ? text[1..].IndexOf((byte)' ') + 1 : 0;
            if (blank > 0)
            {
                text[..blank].CopyTo(joined);
                text[(blank + 1)..].CopyTo(joined.AsSpan(blank));
            }
            if (blank == 0 || !ids.TryGetValue(text[..blank], out int left) || !ids.TryGetValue(text[(blank + 1)..], out int right)
                || !ids.TryGetValue(joined.AsSpan(0, text.Length - 1), out int merged))
                throw metadata.Error($"{Merges}[{i}]", "two pieces that are a piece together", GgufReader.Shown(text));
            merges[i] = (left, right, merged);
        }
        return merges;
    }

    private static IEnumerable<int> OtherEnds(GgufMetadata metadata, byte[][] pieces)
    {
        IEnumerable<int> byKey = EndKeys.Select(key => Id(metadata, key, pieces.Length)).OfType<int>();
        IEnumerable<int> byPiece = EndPieces.Select(text => Encoding.UTF8.GetBytes(text))
            .Select(end => Array.FindIndex(pieces, piece => piece.AsSpan().SequenceEqual(end))).Where(id => id >= 0);
        return byKey.Concat(byPiece);
    }

    // An id that is null where the key is absent or says that there is no such token.
    private static int? Id(GgufMetadata metadata, string key, int count) =>
        metadata.GetInteger(key) is null or -1 or uint.MaxValue ? null : metadata.GetInteger(key, 0, count - 1);

    private static PieceType[]? ReadTypes(GgufMetadata metadata, int count)
    {
        if (metadata.GetLength(Types) is not { } length)
            return null;
        if (length != count)
            throw metadata.Error(Types, $"{count} types, as there are pieces", $"{length}");
        int[] types = metadata.GetIntegers(Types)!;
        int wrong = Array.FindIndex(types, type => type is < 0 or > (int)PieceType.Byte);
        if (wrong >= 0)
            throw metadata.Error($"{Types}[{wrong}]", $"a type from 0 to {(int)PieceType.Byte}", $"{types[wrong]}");
        return Array.ConvertAll(types, type => type == 0 ? PieceType.Normal : (PieceType)type); // 0 is a type that was not set
    }
}
