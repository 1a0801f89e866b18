using Llama2.Simple.Tensors;

namespace Llama2.Simple;

/// <summary>The vectors and matrices of a model: immutable, shared by all transformers that run it.</summary>
public sealed class Weights
{
    public required Tensor TokenEmbedding { get; init; }          // (vocab_size, dim)
    public required IReadOnlyList<LayerWeights> Layers { get; init; }
    public required ReadOnlyMemory<float> RmsFinal { get; init; } // (dim,)
    public required Tensor Classifier { get; init; }              // (vocab_size, dim); TokenEmbedding itself where they are tied

    public bool IsClassifierShared => ReferenceEquals(TokenEmbedding, Classifier);

    /// <summary>Builds a model from its tensors.</summary>
    /// <param name="layers">Number of layers.</param>
    /// <param name="isClassifierShared">Whether the classifier is the embedding table.</param>
    /// <param name="tensor">Gives the tensor of a name (run.c's) and a layer, which is 0 where there is one for all.</param>
    public static Weights From(int layers, bool isClassifierShared, Func<string, int, Tensor> tensor)
    {
        Tensor embedding = tensor("token_embedding_table", 0);
        return new Weights
        {
            TokenEmbedding = embedding,
            Layers = [.. Enumerable.Range(0, layers).Select(l => new LayerWeights
            {
                RmsAtt = Vector("rms_att_weight", l),
                Wq = tensor("wq", l),
                Wk = tensor("wk", l),
                Wv = tensor("wv", l),
                Wo = tensor("wo", l),
                RmsFfn = Vector("rms_ffn_weight", l),
                W1 = tensor("w1", l),
                W2 = tensor("w2", l),
                W3 = tensor("w3", l),
            })],
            RmsFinal = Vector("rms_final_weight", 0),
            Classifier = isClassifierShared ? embedding : tensor("wcls", 0),
        };

        ReadOnlyMemory<float> Vector(string name, int layer) => ((Float32Tensor)tensor(name, layer)).Data;
    }

    /// <summary>The tensor of this name (run.c's) and layer; a norm is a float32 matrix of one row.</summary>
    /// <exception cref="ArgumentOutOfRangeException">No tensor has this name.</exception>
    public Tensor this[string name, int layer] => name switch
    {
        "token_embedding_table" => TokenEmbedding,
        "rms_att_weight" => Float32Tensor.Vector(Layers[layer].RmsAtt),
        "wq" => Layers[layer].Wq,
        "wk" => Layers[layer].Wk,
        "wv" => Layers[layer].Wv,
        "wo" => Layers[layer].Wo,
        "rms_ffn_weight" => Float32Tensor.Vector(Layers[layer].RmsFfn),
        "w1" => Layers[layer].W1,
        "w2" => Layers[layer].W2,
        "w3" => Layers[layer].W3,
        "rms_final_weight" => Float32Tensor.Vector(RmsFinal),
        "wcls" => Classifier,
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no tensor has this name"),
    };

    /// <summary>All tensors; the layer is null where there is one for all layers.</summary>
    public IEnumerable<(string Name, int? Layer, Tensor Tensor)> Named()
    {
        yield return ("token_embedding_table", null, TokenEmbedding);
        for (int l = 0; l < Layers.Count; l++)
        {
            foreach (string name in LayerWeights.Names)
                yield return (name, l, this[name, l]);
        }
        yield return ("rms_final_weight", null, this["rms_final_weight", 0]);
        if (!IsClassifierShared)
            yield return ("wcls", null, Classifier);
    }

    /// <summary>The same model with other matrices; norms stay as they are.</summary>
    /// <param name="matrix">Gives the matrix to take in place of one.</param>
    public Weights Map(Func<Tensor, Tensor> matrix) => From(
        Layers.Count, IsClassifierShared, (name, layer) => IsNorm(name) ? this[name, layer] : matrix(this[name, layer]));

    /// <summary>Whether a tensor of this name is a norm's vector, which is float32 in every format.</summary>
    public static bool IsNorm(string name) => name is ['r', 'm', 's', '_', ..];
}

/// <summary>The weights of one layer. Note dim == n_heads * head_size.</summary>
public sealed class LayerWeights
{
    internal static readonly string[] Names = ["rms_att_weight", "rms_ffn_weight", "wq", "wk", "wv", "wo", "w1", "w2", "w3"];

    // weights for rmsnorms
    public required ReadOnlyMemory<float> RmsAtt { get; init; } // (dim,)
    public required ReadOnlyMemory<float> RmsFfn { get; init; } // (dim,)

    // weights for matmuls
    public required Tensor Wq { get; init; } // (dim, dim)
    public required Tensor Wk { get; init; } // (kv_dim, dim)
    public required Tensor Wv { get; init; } // (kv_dim, dim)
    public required Tensor Wo { get; init; } // (dim, dim)

    // weights for ffn
    public required Tensor W1 { get; init; } // (hidden_dim, dim)
    public required Tensor W2 { get; init; } // (dim, hidden_dim)
    public required Tensor W3 { get; init; } // (hidden_dim, dim)
}
