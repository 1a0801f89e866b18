namespace Llama2.Simple;

/// <summary>Translates text to tokens and back. Texts are UTF-8; Text/TokenizerExtensions has the same for strings.</summary>
public interface ITokenizer
{
    int VocabSize { get; }
    int Bos { get; } // begins a text and, in a model of stories, ends it
    int Eos { get; } // ends an answer

    /// <summary>The tokens of a text in UTF-8; bytes that are no UTF-8 are taken as run.c takes them.</summary>
    /// <param name="utf8">The text.</param>
    /// <param name="bos">Whether <see cref="Bos"/> goes first.</param>
    /// <param name="eos">Whether <see cref="Eos"/> goes last.</param>
    /// <param name="blank">Whether a text gets a " " before it, as run.c always does; not where it goes on from other tokens.</param>
    int[] Encode(ReadOnlySpan<byte> utf8, bool bos = true, bool eos = false, bool blank = true);

    /// <summary>The byte tokens of a text, which never become part of a piece.</summary>
    int[] EncodeBytes(ReadOnlySpan<byte> utf8);

    /// <summary>The token whose piece this is, if there is one; <see cref="Bos"/> and <see cref="Eos"/> are not found.</summary>
    int? Find(ReadOnlySpan<byte> piece);

    /// <summary>The bytes that a token adds to a text.</summary>
    /// <param name="previous">The token before it: after BOS a leading blank is left out, as sentencepiece does.</param>
    /// <param name="token">The token.</param>
    ReadOnlySpan<byte> Decode(int previous, int token);

    ReadOnlySpan<byte> Piece(int token); // as it stands in the vocabulary
    float Score(int token);              // by which merges are chosen
}
