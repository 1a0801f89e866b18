namespace Llama2.Simple;

/// <summary>Translates text to tokens and back. Texts are UTF-8; Text/TokenizerExtensions has the same for strings.</summary>
public interface ITokenizer
{
    int VocabSize { get; }
    int Bos { get; } // begins a text and, in a model of stories, ends it
    int Eos { get; } // ends an answer

    /// <summary>All tokens that end a text or an answer: BOS, EOS and those that a chat model ends its turns with.</summary>
    IReadOnlyList<int> Ends { get; }

    /// <summary>Whether texts of this model begin with <see cref="Bos"/>.</summary>
    bool AddsBos { get; }

    /// <summary>The tokens of a text in UTF-8; bytes that are no UTF-8 are taken as run.c takes them.</summary>
    /// <param name="bos">Whether <see cref="Bos"/> goes first, if it <see cref="AddsBos"/>; before an empty text always, since a model
    /// needs one token to go on from.</param>
    /// <param name="eos">Whether <see cref="Eos"/> goes last.</param>
    /// <param name="blank">Whether a text gets a " " before it, where the model's texts do, as run.c's always; not where it goes on from
    /// other tokens.</param>
    int[] Encode(ReadOnlySpan<byte> utf8, bool bos = true, bool eos = false, bool blank = true);

    /// <summary>The byte tokens of a text, which never become part of a piece.</summary>
    int[] EncodeBytes(ReadOnlySpan<byte> utf8);

    /// <summary>The token whose piece this is, if there is one that a text may become; BOS, EOS and control tokens are not found.</summary>
    int? Find(ReadOnlySpan<byte> piece);

    /// <summary>
    /// The control token of this piece, such as &lt;|eot_id|&gt;, or one that the model's makers added beside the learned pieces. A
    /// vocabulary of llama2.c knows none.
    /// </summary>
    int? Special(ReadOnlySpan<byte> piece);

    /// <summary>The bytes that a token adds to a text.</summary>
    /// <param name="previous">The token before it: after BOS a leading blank is left out, as sentencepiece does.</param>
    ReadOnlySpan<byte> Decode(int previous, int token);

    ReadOnlySpan<byte> Piece(int token); // as it stands in the vocabulary
    float Score(int token);              // by which merges are chosen
}
