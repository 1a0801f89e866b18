using System.Text;
using System.Text.Json.Nodes;
using Llama2.Cli.Models;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Llama2C;

namespace Llama2.Cli.Inspect;

/// <summary>The report of inspect on a checkpoint, as JSON; its text is made of the same.</summary>
internal static class ModelReport
{
    /// <summary>Makes the report; statistics read each element of each tensor.</summary>
    /// <exception cref="ModelFileException">The tokenizer that was named is no tokenizer for this model.</exception>
    public static JsonObject Create(Checkpoint checkpoint, int context, bool statistics, string? tokenizer)
    {
        CheckpointHeader header = checkpoint.Header;
        return new JsonObject
        {
            ["file"] = checkpoint.Path,
            ["format"] = $"llama2.c v{header.Version}",
            ["type"] = checkpoint.Weights.Classifier.Describe(),
            ["bytes"] = checkpoint.Length,
            ["parameters"] = checkpoint.Weights.Named().Sum(named => named.Tensor.Elements),
            ["header"] = Header(header),
            ["derived"] = Derived(header.Config),
            ["memory"] = Memory(checkpoint, context),
            ["tokenizer"] = Describe(checkpoint, tokenizer),
            ["tensors"] = new JsonArray([.. header.Tensors().SelectMany(spec => Rows(checkpoint.Weights, spec, statistics))]),
        };
    }

    private static JsonObject Header(CheckpointHeader header)
    {
        JsonObject fields = new(Config.FieldNames.Zip(header.Config.Fields, (name, value) => KeyValuePair.Create(name, (JsonNode?)value)));
        fields["shared_classifier"] = header.SharedClassifier;
        return fields;
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
        bool isWeight = spec.Name != "rope_tables";
        return Enumerable.Range(0, isWeight ? spec.Count : 0).Select(layer =>
        {
            JsonObject row = Row(spec, spec.Count == 1 ? spec.Name : $"{spec.Name}[{layer}]", 1);
            TensorStatistics found = TensorStatistics.Of(weights[spec.Name, layer]);
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
        int[] shape = [.. (int[])(count == 1 ? [] : [count]), .. (int[])(spec.Rows == 1 ? [] : [spec.Rows]), spec.Columns];
        return new JsonObject
        {
            ["tensor"] = name,
            ["shape"] = new JsonArray([.. shape.Select(size => JsonValue.Create(size))]),
            ["type"] = spec.TypeName,
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
        catch (ModelFileException e) when (path is null)
        {
            return e.Message; // the report is about the model, which may lack one
        }
    }

    private static JsonObject Summary(string file, Tokenizer tokenizer)
    {
        int[] ids = [.. Enumerable.Range(0, tokenizer.VocabSize)];
        int longest = ids.MaxBy(id => tokenizer.Piece(id).Length);
        return new JsonObject
        {
            ["file"] = file,
            ["tokens"] = tokenizer.VocabSize,
            ["byte_tokens"] = ids.Count(id => Encoding.Latin1.GetString(tokenizer.Piece(id)) is ['<', '0', 'x', _, _, '>']),
            ["longest_piece_bytes"] = tokenizer.Piece(longest).Length,
            ["longest_piece"] = Encoding.UTF8.GetString(tokenizer.Piece(longest)).ReplaceLineEndings("\\n"),
            ["bos"] = tokenizer.Bos,
            ["eos"] = tokenizer.Eos,
        };
    }
}
