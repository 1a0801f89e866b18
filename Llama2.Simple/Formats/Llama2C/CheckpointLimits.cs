using Llama2.Simple.Text;

namespace Llama2.Simple.Formats.Llama2C;

/// <summary>
/// What a file of llama2.c cannot say. run.c has one epsilon and one base of RoPE, heads that divide dim among them, and no biases; its
/// tokenizer is sentencepiece's with the ids of Llama 2.
/// </summary>
public static class CheckpointLimits
{
    /// <summary>The header of a file that is to hold this model.</summary>
    /// <param name="model">A model of any format.</param>
    /// <param name="version">0 and 1 are float32, 2 is int8.</param>
    /// <param name="groupSize">Elements a scale in version 2, else 0.</param>
    /// <exception cref="ModelFileException">It has something that the file cannot say; the message names it.</exception>
    public static CheckpointHeader HeaderFor(ModelFile model, int version, int groupSize = 0)
    {
        Config config = model.Config, plain = Config.FromFields(config.Fields);
        if (config.HeadSize != plain.HeadSize)
            throw Error("head size", $"dim {config.Dim} / {config.HeadCount} heads = {plain.HeadSize}", $"{config.HeadSize}");
        if (config.NormEpsilon != plain.NormEpsilon)
            throw Error("norm epsilon", $"{plain.NormEpsilon}", $"{config.NormEpsilon}");
        if (config.RopeBase != plain.RopeBase)
            throw Error("RoPE base", $"{plain.RopeBase}", $"{config.RopeBase}");
        if (config.RopeDim != plain.RopeDim)
            throw Error("RoPE dimensions", $"the head size, {plain.RopeDim}", $"{config.RopeDim}");
        if (config.RopeScaling is { } scaling)
            throw Error("RoPE scaling", "none", $"{(scaling.HasRamp ? "YaRN" : "linear")} by {scaling.Factor}");
        if (!model.Weights.RopeFactors.IsEmpty)
            throw Error("RoPE scaling", "none", $"factors up to {model.Weights.RopeFactors.ToArray().Max()}");
        if (model.Weights.Named().FirstOrDefault(named => named.Name is ['b', _]) is { Name: { } bias, Layer: var layer })
            throw Error($"bias {bias}, layer {layer}", "none", "one");
        CheckpointHeader header = new(version, plain, model.Weights.IsClassifierShared, groupSize);
        header.Check((field, expected, found) => new ModelFileException(model.Path, field, expected, found));
        return header;

        ModelFileException Error(string field, string expected, string found) =>
            new(model.Path, field, $"{expected}, all that a file of llama2.c can say", found);
    }

    /// <summary>The bytes of a tokenizer.bin that gives a text the same tokens.</summary>
    /// <param name="tokenizer">A tokenizer of any format.</param>
    /// <param name="path">The model's name, for messages.</param>
    /// <exception cref="ModelFileException">There is no such file; the message says what it cannot say.</exception>
    public static byte[] TokenizerBytes(ITokenizer tokenizer, string path)
    {
        if (tokenizer is Tokenizer own)
            return TokenizerFile.ToBytes(Pieces(own.Piece));
        if (tokenizer is not SentencePieceTokenizer pieces)
            throw Error("tokenizer", "sentencepiece's", "byte pairs");
        if ((pieces.Bos, pieces.Eos, pieces.UnknownId) != (Tokenizer.BosId, Tokenizer.EosId, Tokenizer.UnknownId))
            throw Error("tokenizer: <unk>, BOS and EOS", "the ids 0, 1 and 2", $"{pieces.UnknownId}, {pieces.Bos} and {pieces.Eos}");
        if (pieces is not { AddsBos: true, AddsBlank: true, RemovesBlanks: false })
            throw Error("tokenizer", "BOS and a blank before each text, and all blanks in it kept", "another rule");
        for (int id = 0; id < pieces.VocabSize; id++)
        {
            PieceType expected = id switch
            {
                Tokenizer.UnknownId => PieceType.Unknown,
                Tokenizer.BosId or Tokenizer.EosId => PieceType.Control,
                < Tokenizer.FirstByte + 256 => PieceType.Byte,
                _ => PieceType.Normal,
            };
            if (pieces.Type(id) != expected)
                throw Error($"tokenizer: token {id}", Words(expected), Words(pieces.Type(id)));
        }
        return TokenizerFile.ToBytes(Pieces(id => id switch
        {
            Tokenizer.BosId => "\n<s>\n"u8,
            Tokenizer.EosId => "\n</s>\n"u8,
            _ => SentencePieceTokenizer.WithBlanks(pieces.Piece(id)),
        }));

        (byte[] Piece, float Score)[] Pieces(Func<int, ReadOnlySpan<byte>> piece) =>
            [.. Enumerable.Range(0, tokenizer.VocabSize).Select(id => (piece(id).ToArray(), tokenizer.Score(id)))];

        ModelFileException Error(string field, string expected, string found) =>
            new(path, field, $"{expected}, all that a tokenizer of llama2.c can say", found);
    }

    private static string Words(PieceType type) => $"a piece of the kind {type.ToString().ToLowerInvariant()}";
}
