using Llama2.Cli.Terminal;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Generation;
using Llama2.Simple.Tensors;

namespace Llama2.Cli.Models;

/// <summary>
/// Checks that weights are finite numbers, and stay so where a type of a smaller range than float32's holds them: one NaN or infinity
/// spoils the numbers that share its scale.
/// </summary>
internal static class FiniteWeights
{
    private const int MinRepeated = 3, MaxRepeated = 16; // tokens at the end of a text

    /// <summary>Refuses a model with a NaN or an infinity, or with a number that a type does not hold.</summary>
    /// <param name="types">What the matrices become; null for a type of float32's range.</param>
    /// <exception cref="ModelFileException">It has one; the message says where.</exception>
    public static void Check(ModelFile model, TypeMix? types, CancellationToken cancellation)
    {
        foreach ((string name, int? layer, Tensor tensor) in model.Weights.Named())
        {
            GgmlType type = types is null || Weights.IsVector(name) ? GgmlType.F32 : types.TypeOf(model.Weights, name, layer ?? 0);
            float[] floats = new float[tensor.Columns];
            for (int row = 0; row < tensor.Rows; row++)
            {
                cancellation.ThrowIfCancellationRequested();
                tensor.CopyRow(row, floats);
                int column = Array.FindIndex(floats, value => !float.IsFinite(value));
                string expected = "finite numbers", advice = "";
                if (column < 0 && !BlockQuantizer.Holds(type, floats))
                {
                    (expected, column) = ($"numbers that {type} holds", floats.Index().MaxBy(value => MathF.Abs(value.Item)).Index);
                    advice = BlockQuantizer.Holds(GgmlType.BF16, floats) ? "; bf16 and f32 hold it" : "; f32 holds it";
                }
                if (column >= 0)
                {
                    throw new ModelFileException(model.Path, NameOf(name, layer), expected,
                        $"{floats[column]} in row {row}, column {column}{advice}");
                }
            }
        }
    }

    /// <summary>The weights of a float32 model in llama2.c's int8 groups.</summary>
    /// <param name="threads">Threads to work with, or 0 for the default.</param>
    /// <exception cref="ModelFileException">One is no finite number; the message says where.</exception>
    public static Weights Int8(ModelFile model, int threads = 0) =>
        QuantizeOrExplain(model, null, () => WeightQuantizer.Quantize(model.Weights, WeightQuantizer.GroupSizeFor(model.Config), threads));

    /// <summary>The weights of a model of floats in ggml's types.</summary>
    /// <param name="threads">Threads to work with, or 0 for the default.</param>
    /// <exception cref="ModelFileException">One is no finite number, or none that its type holds; the message says where.</exception>
    public static Weights Of(ModelFile model, TypeMix types, int threads) =>
        QuantizeOrExplain(model, types, () => WeightQuantizer.Quantize(model.Weights, types, threads));

    private static Weights QuantizeOrExplain(ModelFile model, TypeMix? types, Func<Weights> quantize)
    {
        try
        {
            return quantize();
        }
        catch (NotFiniteNumberException)
        {
            Check(model, types, CancellationToken.None);
            throw;
        }
    }

    /// <summary>
    /// Says why a text ends in one token again and again, if the reason is a NaN or an infinity in the model: run.c's maximum over NaN
    /// logits is always the same token.
    /// </summary>
    public static void NoteOn(Sequence text, LoadedModel model)
    {
        int sampled = Math.Min(Math.Min(text.Sampled, text.Tokens.Length), MaxRepeated);
        ReadOnlySpan<int> end = text.Tokens[^sampled..];
        if (sampled < MinRepeated || end.ContainsAnyExcept(end[0]))
            return;
        try
        {
            CheckLogits(end[0], model.Transformer, model.File, CancellationToken.None);
        }
        catch (ModelFileException e)
        {
            Notes.Write($"llama2: {e.Message}: the text means nothing");
        }
    }

    /// <summary>Refuses a model whose first logits mean nothing, if a weight is no finite number.</summary>
    /// <exception cref="ModelFileException">It has one; the message says where.</exception>
    public static void CheckFirstLogits(ITransformer transformer, ModelFile model, CancellationToken cancellation) =>
        CheckLogits(Math.Min(Tokenizer.BosId, model.Config.VocabSize - 1), transformer, model, cancellation);

    // Reading all weights of a large model takes seconds, so the logits after a token are looked at first: a NaN makes them NaN, or all
    // the same where activations are int8.
    private static void CheckLogits(int token, ITransformer transformer, ModelFile model, CancellationToken cancellation)
    {
        float[] logits = new float[model.Config.VocabSize];
        transformer.Forward([new Row(token, new KvCache(model.Config), Want.Logits)], logits);
        if (!logits.All(float.IsFinite) || !logits.AsSpan().ContainsAnyExcept(logits[0]))
            Check(model, null, cancellation);
    }

    /// <summary>A tensor in words.</summary>
    public static string NameOf(string tensor, int? layer) => layer is null ? tensor : $"{tensor}, layer {layer}";
}
