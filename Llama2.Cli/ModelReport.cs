using System.Text;
using System.Text.Json.Nodes;
using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Cli;

/// <summary>What inspect says of a checkpoint, as JSON; its text is made of the same.</summary>
internal static class ModelReport
{
    /// <summary>Reads all there is to say.</summary>
    /// <param name="checkpoint">The model.</param>
    /// <param name="context">Tokens that the memory is reckoned for.</param>
    /// <param name="statistics">Whether to look at each element of each tensor.</param>
    /// <param name="tokenizer">The tokenizer, or null to look for it.</param>
    /// <exception cref="TokenizerException">The tokenizer that was named is no tokenizer for this model.</exception>
    public static JsonObject Create(Checkpoint checkpoint, int context, bool statistics, string? tokenizer)
    {
        CheckpointHeader header = checkpoint.Header;
        return new JsonObject
        {
            ["file"] = checkpoint.Path,
            ["format"] = $"llama2.c v{header.Version}",
            ["type"] = header.Version == 2 ? $"q8_0, groups of {header.GroupSize}" : "f32",
            ["bytes"] = checkpoint.Length,
            ["parameters"] = header.Tensors().Where(IsLearned).Sum(tensor => tensor.Count * tensor.Elements),
            ["header"] = Header(header),
            ["derived"] = Derived(header.Config),
            ["memory"] = Memory(checkpoint, context),
            ["tokenizer"] = Describe(checkpoint, tokenizer),
            ["tensors"] = new JsonArray([.. header.Tensors().SelectMany(tensor => Rows(checkpoint.Weights, tensor, statistics))]),
        };
    }

    private static bool IsLearned(TensorSpec tensor) => tensor.Name != "rope_tables";

    private static JsonObject Header(CheckpointHeader header)
    {
        Config c = header.Config;
        return new JsonObject
        {
            ["dim"] = c.Dim,
            ["hidden_dim"] = c.HiddenDim,
            ["n_layers"] = c.LayerCount,
            ["n_heads"] = c.HeadCount,
            ["n_kv_heads"] = c.KvHeadCount,
            ["vocab_size"] = c.VocabSize,
            ["seq_len"] = c.SeqLen,
            ["shared_classifier"] = header.SharedClassifier,
        };
    }

    private static JsonObject Derived(Config c) => new()
    {
        ["head_size"] = c.HeadSize,
        ["kv_dim"] = c.KvDim,
        ["query_heads_per_kv_head"] = c.KvMul,
        ["attention"] = c.KvMul == 1 ? "multi-head" : c.KvHeadCount == 1 ? "multi-query" : "grouped-query",
    };

    /// <summary>Bytes to run one sequence. The weights are mapped: pages that memory lacks come from the file again.</summary>
    private static JsonObject Memory(Checkpoint checkpoint, int context)
    {
        Config c = checkpoint.Config;
        long cache = 2L * c.LayerCount * context * c.KvDim * sizeof(float);
        // the activations of run.c's RunState: x, xb, xb2, q; hb, hb2; att; logits
        long activations = (4L * c.Dim + 2L * c.HiddenDim + (long)c.HeadCount * context + c.VocabSize) * sizeof(float);
        return new JsonObject
        {
            ["context"] = context,
            ["weights_mapped"] = checkpoint.Length,
            ["kv_cache"] = cache,
            ["kv_cache_per_token"] = cache / context,
            ["activations"] = activations,
            ["total"] = checkpoint.Length + cache + activations,
        };
    }

    private static IEnumerable<JsonObject> Rows(Weights weights, TensorSpec spec, bool statistics)
    {
        if (!statistics)
            return [Row(spec, spec.Name, spec.Count)];
        return Enumerable.Range(0, IsLearned(spec) ? spec.Count : 0).Select(layer =>
        {
            Tensor tensor = weights.Matrix(spec.Name, layer) ?? new FloatTensor(1, spec.Columns, weights.Vector(spec.Name, layer));
            JsonObject row = Row(spec, spec.Count == 1 ? spec.Name : $"{spec.Name}[{layer}]", 1);
            TensorStatistics found = TensorStatistics.Of(tensor);
            row["min"] = Finite(found.Min);
            row["max"] = Finite(found.Max);
            row["mean"] = Finite((float)found.Mean);
            row["outliers"] = found.Outliers;
            row["not_finite"] = found.NotFinite;
            return row;
        });
    }

    private static JsonObject Row(TensorSpec spec, string name, int count)
    {
        int[] shape = [.. (count == 1 ? (int[])[] : [count]), .. (spec.Rows == 1 ? (int[])[] : [spec.Rows]), spec.Columns];
        return new JsonObject
        {
            ["tensor"] = name,
            ["shape"] = new JsonArray([.. shape.Select(size => JsonValue.Create(size))]),
            ["type"] = spec.GroupSize == 0 ? "f32" : "q8_0",
            ["bytes"] = count * spec.Bytes,
        };
    }

    private static JsonValue? Finite(float value) => float.IsFinite(value) ? JsonValue.Create(value) : null;

    private static JsonNode Describe(Checkpoint checkpoint, string? path)
    {
        try
        {
            string file = path ?? ModelFiles.FindTokenizer(checkpoint.Path);
            return Summary(file, TokenizerFile.Open(file, checkpoint.Config.VocabSize));
        }
        catch (TokenizerException e) when (path is null)
        {
            return e.Message; // the model is what was asked for
        }
    }

    private static JsonObject Summary(string file, Tokenizer tokenizer)
    {
        int[] ids = [.. Enumerable.Range(0, tokenizer.VocabSize)];
        return new JsonObject
        {
            ["file"] = file,
            ["tokens"] = tokenizer.VocabSize,
            ["byte_tokens"] = ids.Count(id => Encoding.Latin1.GetString(tokenizer.Piece(id)) is ['<', '0', 'x', _, _, '>']),
            ["longest_piece_bytes"] = ids.Max(id => tokenizer.Piece(id).Length),
            ["longest_piece"] = Encoding.UTF8.GetString(tokenizer.Piece(ids.MaxBy(id => tokenizer.Piece(id).Length))).ReplaceLineEndings("\\n"),
            ["bos"] = Tokenizer.Bos,
            ["eos"] = Tokenizer.Eos,
        };
    }
}
