using System.Text;
using System.Text.Json.Nodes;
using Llama2.Cli.Models;
using Llama2.Fast;
using Llama2.Simple;
using Llama2.Simple.Formats;
using Llama2.Simple.Formats.Gguf;
using Llama2.Simple.Formats.Llama2C;
using Llama2.Simple.Tensors;
using Llama2.Simple.Text;

namespace Llama2.Cli.Inspect;

/// <summary>The report of inspect on a model's file, as JSON; its text is made of the same.</summary>
internal static class ModelReport
{
    /// <summary>Makes the report; statistics read each element of each tensor.</summary>
    /// <exception cref="ModelFileException">The tokenizer that was named is no tokenizer for this model.</exception>
    public static JsonObject Create(ModelSource source, ModelFile model, int context, bool statistics, string? tokenizer)
    {
        GgufModel? gguf = model as GgufModel;
        JsonObject report = new()
        {
            ["file"] = model.Path,
            ["format"] = model.Format,
            ["type"] = model.Weights.DescribeTypes(),
            ["bytes"] = model.Length,
            ["parameters"] = model.Weights.Named().Sum(named => named.Tensor.Elements),
            ["chat_template"] = model.ChatTemplate is not { } jinja ? null
                : ChatTemplateRecognition.Recognise(jinja)?.Name ?? "none of those that are known; --template NAME chooses one",
            ["header"] = Header(model),
            ["derived"] = Derived(model),
            ["memory"] = Memory(model, context),
            ["tokenizer"] = Describe(source, model, tokenizer),
        };
        if (gguf is not null)
            report["metadata"] = GgufReport.Metadata(gguf.Metadata);
        report["tensors"] = new JsonArray([.. gguf is not null
            ? gguf.Tensors.Select(tensor => Row(tensor, statistics))
            : ((Checkpoint)model).Header.Tensors().SelectMany(spec => Rows(model.Weights, spec, statistics))]);
        return report;
    }

    private static JsonObject Header(ModelFile model)
    {
        JsonObject fields = new(Config.FieldNames.Zip(model.Config.Fields, (name, value) => KeyValuePair.Create(name, (JsonNode?)value)));
        fields["shared_classifier"] = model.Weights.IsClassifierShared;
        return fields;
    }

    private static JsonObject Derived(ModelFile model)
    {
        Config c = model.Config;
        return new JsonObject
        {
            ["head_size"] = c.HeadSize,
            ["kv_dim"] = c.KvDim,
            ["query_heads_per_kv_head"] = c.KvMul,
            ["attention"] = c.KvMul == 1 ? "multi-head" : c.KvHeadCount == 1 ? "multi-query" : "grouped-query",
            ["sliding_window"] = (model as GgufModel)?.SlidingWindow, // where the context ends
        };
    }

    /// <summary>Bytes to run one sequence. The weights are mapped: pages that memory lacks come from the file again.</summary>
    private static JsonObject Memory(ModelFile model, int context)
    {
        Config c = model.Config;
        long cache = 2L * c.LayerCount * context * c.KvDim * sizeof(float);
        // the activations of run.c's RunState: x, xb, xb2; q; hb, hb2; att; logits
        long activations = (3L * c.Dim + c.QDim + 2L * c.HiddenDim + (long)c.HeadCount * context + c.VocabSize) * sizeof(float);
        bool isCopied = Speculation.IsCopiedByDefault(c, model.Weights);
        return new JsonObject
        {
            ["context"] = context,
            ["weights_mapped"] = model.Length,
            ["kv_cache"] = cache,
            ["kv_cache_per_token"] = cache / context,
            ["activations"] = activations,
            ["total"] = model.Length + cache + activations,
            ["speculation_adds"] = isCopied ? WeightQuantizer.CopyBytes(c, WeightQuantizer.GroupSizeFor(c)) : 0,
        };
    }

    private static JsonObject Row(GgufTensor tensor, bool statistics)
    {
        int[] shape = [.. tensor.Dimensions.Reverse().Select(size => (int)size)]; // rows x columns
        return Row(tensor.Name, shape, tensor.Type.Name, tensor.Bytes, !statistics ? null
            : () => GgmlTensor.Create(tensor.Type, shape.Length > 1 ? shape[0] : 1, shape[^1], tensor.File, tensor.Offset));
    }

    private static IEnumerable<JsonObject> Rows(Weights weights, TensorSpec spec, bool statistics)
    {
        if (!statistics)
            return [Row(spec.Name, Shape(spec, spec.Count), spec.TypeName, spec.Count * spec.Bytes)];
        bool isWeight = spec.Name != "rope_tables";
        return Enumerable.Range(0, isWeight ? spec.Count : 0).Select(layer => Row(
            spec.Count == 1 ? spec.Name : $"{spec.Name}[{layer}]", Shape(spec, 1), spec.TypeName, spec.Bytes,
            () => weights[spec.Name, layer]));
    }

    private static int[] Shape(TensorSpec spec, int count) =>
        [.. (int[])(count == 1 ? [] : [count]), .. (int[])(spec.Rows == 1 ? [] : [spec.Rows]), spec.Columns];

    /// <summary>A row of the table of tensors; with statistics where the tensor is given.</summary>
    private static JsonObject Row(string name, int[] shape, string type, long bytes, Func<Tensor>? tensor = null)
    {
        JsonObject row = new()
        {
            ["tensor"] = name,
            ["shape"] = new JsonArray([.. shape.Select(size => JsonValue.Create(size))]),
            ["type"] = type,
            ["bytes"] = bytes,
        };
        if (tensor is null)
            return row;
        TensorStatistics found = TensorStatistics.Of(tensor());
        row["min"] = Finite(found.Min);
        row["max"] = Finite(found.Max);
        row["mean"] = Finite((float)found.Mean);
        row["outliers"] = found.Outliers;
        row["not_finite"] = found.NotFinite;
        return row;
    }

    private static JsonValue? Finite(float value) => float.IsFinite(value) ? JsonValue.Create(value) : null;

    private static JsonNode Describe(ModelSource source, ModelFile model, string? path)
    {
        try
        {
            if (path is null && model.Tokenizer is { } own)
                return Summary(model.Path, own);
            ModelSource tokenizer = path is null ? ModelFiles.FindTokenizer(source) : new ModelSource(path);
            return Summary(tokenizer.Path, ModelFiles.ReadTokenizer(tokenizer, model.Config.VocabSize));
        }
        catch (ModelFileException e) when (path is null)
        {
            return e.Message; // the report is about the model, which may lack one
        }
    }

    private static JsonObject Summary(string file, ITokenizer tokenizer)
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
