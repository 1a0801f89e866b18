namespace Llama2.Simple.Formats.Gguf;

/// <summary>Reads the hyperparameters of a model of the Llama family from a GGUF file's metadata, and checks them.</summary>
internal static class GgufConfig
{
    public const string Architecture = "llama";
    private const string Family = "llama: Llama 1 to 3.2, Code Llama, TinyLlama, SmolLM, Vicuna, Mistral 7B and others of their shape";

    private const int MaxWidth = 1 << 24;  // of a vector; also the largest vocabulary and context, exact as floats
    private const int MaxLayers = 1 << 14; // a hundred times Llama 2's

    /// <summary>The config of a model.</summary>
    /// <param name="embeddingRows">Rows of the embedding table: the size of a vocabulary that nothing else tells.</param>
    /// <exception cref="ModelFileException">A key is missing or out of range, or the model is of another kind.</exception>
    public static Config Read(GgufMetadata metadata, long embeddingRows)
    {
        string? architecture = metadata.GetString("general.architecture");
        if (architecture != Architecture)
        {
            throw metadata.Error("general.architecture", Family,
                architecture is null ? "none" : GgufReader.Shown(architecture));
        }
        if (metadata.GetInteger(Key("expert_count")) is > 0 and long experts)
            throw metadata.Error(Key("expert_count"), "0: mixtures of experts are not run", $"{experts}");

        int layers = Required("block_count", MaxLayers), dim = Required("embedding_length", MaxWidth);
        int heads = Uniform("attention.head_count", MaxWidth) ?? throw Missing("attention.head_count");
        int kvHeads = Uniform("attention.head_count_kv", MaxWidth) ?? heads;
        int hidden = Uniform("feed_forward_length", MaxWidth) ?? throw Missing("feed_forward_length");
        if (heads % kvHeads != 0)
            throw metadata.Error(Key("attention.head_count_kv"), $"a divisor of head_count {heads}", $"{kvHeads}");
        int? keyLength = metadata.GetInteger(Key("attention.key_length"), 1, MaxWidth);
        if (keyLength is null && dim % heads != 0)
            throw metadata.Error(Key("attention.head_count"), $"a divisor of embedding_length {dim}", $"{heads}");
        int headSize = keyLength ?? dim / heads;
        if (headSize % 2 != 0)
            throw metadata.Error(Key("attention.key_length"), "an even number (RoPE turns pairs)", $"{headSize}");
        if ((long)headSize * heads > MaxWidth)
            throw metadata.Error(Key("attention.key_length"), $"at most {MaxWidth} floats in all heads", $"{headSize} * {heads}");
        if (metadata.GetInteger(Key("attention.value_length")) is { } valueLength && valueLength != headSize)
            throw metadata.Error(Key("attention.value_length"), $"key_length {headSize}", $"{valueLength}");
        int ropeDim = metadata.GetInteger(Key("rope.dimension_count"), 2, headSize) ?? headSize;
        if (ropeDim % 2 != 0)
            throw metadata.Error(Key("rope.dimension_count"), "an even number", $"{ropeDim}");

        int trained = Required("context_length", MaxWidth);
        Config config = new(dim, hidden, layers, heads, kvHeads, VocabSize(metadata, embeddingRows), Window(metadata) ?? trained)
        {
            NormEpsilon = Float("attention.layer_norm_rms_epsilon", 0, 1) ?? throw Missing("attention.layer_norm_rms_epsilon"),
            RopeBase = Float("rope.freq_base", MathF.BitIncrement(1), float.MaxValue) ?? 10000,
            HeadSize = (long)headSize * heads == dim ? 0 : headSize,
            RopeDim = ropeDim == headSize ? 0 : ropeDim,
        };
        return config with { RopeScaling = Scaling(config, trained) };

        ModelFileException Missing(string name) => metadata.Error(Key(name), "a value", "none");
        int Required(string name, int max) => metadata.GetInteger(Key(name), 1, max) ?? throw Missing(name);

        float? Float(string name, float min, float max)
        {
            float? value = metadata.GetFloat(Key(name));
            return value is null || (value >= min && value <= max) ? value
                : throw metadata.Error(Key(name), $"{min:G9} to {max:G9}", $"{value:G9}");
        }

        // A number for all layers, or one for each, which must be the same.
        int? Uniform(string name, int max)
        {
            if (metadata.TypeOf(Key(name)) != GgufValueType.Array)
                return metadata.GetInteger(Key(name), 1, max);
            if (metadata.GetLength(Key(name)) is { } length && length != layers)
                throw metadata.Error(Key(name), $"a number for each of {layers} layers", $"{length}");
            int[] each = metadata.GetIntegers(Key(name))!;
            if (each.Distinct().Count() > 1)
                throw metadata.Error(Key(name), "the same for all layers", $"{each.Min()} to {each.Max()}");
            return each[0] >= 1 && each[0] <= max ? each[0] : throw metadata.Error(Key(name), $"1 to {max}", $"{each[0]}");
        }

        RopeScaling? Scaling(Config config, int trained)
        {
            string type = metadata.GetString(Key("rope.scaling.type")) ?? "linear";
            string factorKey = metadata.TypeOf(Key("rope.scaling.factor")) is null ? "rope.scale_linear" : "rope.scaling.factor";
            float factor = metadata.GetFloat(Key(factorKey)) is 0 ? 1 : Float(factorKey, 1, 1e6f) ?? 1;
            float magnitude = Float("rope.scaling.attn_factor", float.Epsilon, 1e6f) ?? 1;
            RopeScaling scaling = type switch
            {
                "none" => new(1),
                "linear" => new(factor),
                "yarn" when Float("rope.scaling.yarn_ext_factor", 1, 1) is null or 1 => RopeScaling.Yarn(
                    config.RopeDim, config.RopeBase, factor,
                    metadata.GetInteger(Key("rope.scaling.original_context_length"), 1, MaxWidth) ?? trained,
                    Float("rope.scaling.yarn_beta_fast", float.Epsilon, 1e6f) ?? 32,
                    Float("rope.scaling.yarn_beta_slow", float.Epsilon, 1e6f) ?? 1),
                _ => throw metadata.Error(Key("rope.scaling.type"), "none, linear or yarn", GgufReader.Shown(type)),
            };
            scaling = scaling with { Magnitude = scaling.Magnitude * magnitude };
            return scaling == new RopeScaling(1) ? null : scaling;
        }
    }

    /// <summary>
    /// The sliding window, where it is shorter than the context. Beyond it attention would have to forget: a context no longer than the
    /// window needs none.
    /// </summary>
    public static int? Window(GgufMetadata metadata) =>
        metadata.GetInteger(Key("attention.sliding_window"), 0, int.MaxValue) is > 0 and int window
        && window < metadata.GetInteger(Key("context_length")) ? window : null;

    private static string Key(string name) => $"{Architecture}.{name}";

    private static int VocabSize(GgufMetadata metadata, long embeddingRows)
    {
        const string Tokens = "tokenizer.ggml.tokens";
        long size = metadata.GetLength(Tokens) ?? metadata.GetInteger(Key("vocab_size")) ?? embeddingRows;
        return size is >= 1 and <= MaxWidth ? (int)size
            : throw metadata.Error(metadata.TypeOf(Tokens) is null ? Key("vocab_size") : Tokens, $"1 to {MaxWidth} tokens", $"{size}");
    }
}
