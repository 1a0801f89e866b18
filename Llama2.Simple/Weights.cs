using Llama2.Simple.Tensors;

namespace Llama2.Simple;

/// <summary>The vectors and matrices of a model: immutable, shared by all transformers that run it.</summary>
public sealed class Weights
{
    public required Tensor TokenEmbedding { get; init; }          // (vocab_size, dim)
    public required IReadOnlyList<LayerWeights> Layers { get; init; }
    public required ReadOnlyMemory<float> RmsFinal { get; init; } // (dim,)
    public required Tensor Classifier { get; init; }              // (vocab_size, dim); TokenEmbedding itself where they are tied

    /// <summary>Divisors of RoPE's frequencies, as Llama 3.1 has them: (rope_dim / 2,); empty in models without.</summary>
    public ReadOnlyMemory<float> RopeFactors { get; init; }

    public bool IsClassifierShared => ReferenceEquals(TokenEmbedding, Classifier);

    /// <summary>Builds a model from its tensors.</summary>
    /// <param name="isClassifierShared">Whether the classifier is the embedding table.</param>
    /// <param name="tensor">
    /// Gives the tensor of a name (run.c's) and a layer, which is 0 where there is one for all; null for biases and RoPE's factors in
    /// models without.
    /// </param>
    public static Weights From(int layers, bool isClassifierShared, Func<string, int, Tensor?> tensor)
    {
        Tensor embedding = Matrix("token_embedding_table", 0);
        return new Weights
        {
            TokenEmbedding = embedding,
            Layers = [.. Enumerable.Range(0, layers).Select(l => new LayerWeights
            {
                RmsAtt = Vector("rms_att_weight", l),
                Wq = Matrix("wq", l),
                Wk = Matrix("wk", l),
                Wv = Matrix("wv", l),
                Wo = Matrix("wo", l),
                RmsFfn = Vector("rms_ffn_weight", l),
                W1 = Matrix("w1", l),
                W2 = Matrix("w2", l),
                W3 = Matrix("w3", l),
                Bq = Optional("bq", l),
                Bk = Optional("bk", l),
                Bv = Optional("bv", l),
                Bo = Optional("bo", l),
                B1 = Optional("b1", l),
                B2 = Optional("b2", l),
                B3 = Optional("b3", l),
            })],
            RmsFinal = Vector("rms_final_weight", 0),
            Classifier = isClassifierShared ? embedding : Matrix("wcls", 0),
            RopeFactors = Optional(RopeFactorsName, 0),
        };

        Tensor Matrix(string name, int layer) => tensor(name, layer)!;
        ReadOnlyMemory<float> Vector(string name, int layer) => ((Float32Tensor)tensor(name, layer)!).Data;
        ReadOnlyMemory<float> Optional(string name, int layer) => tensor(name, layer) is Float32Tensor vector ? vector.Data : default;
    }

    /// <summary>The tensor of this name (run.c's) and layer; a vector is a float32 matrix of one row.</summary>
    /// <exception cref="ArgumentOutOfRangeException">This model has no tensor of this name.</exception>
    public Tensor this[string name, int layer] =>
        Find(name, layer) ?? throw new ArgumentOutOfRangeException(nameof(name), name, "no tensor has this name");

    private Tensor? Find(string name, int layer) => name switch
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
        "bq" => Optional(Layers[layer].Bq),
        "bk" => Optional(Layers[layer].Bk),
        "bv" => Optional(Layers[layer].Bv),
        "bo" => Optional(Layers[layer].Bo),
        "b1" => Optional(Layers[layer].B1),
        "b2" => Optional(Layers[layer].B2),
        "b3" => Optional(Layers[layer].B3),
        RopeFactorsName => Optional(RopeFactors),
        _ => null,
    };

    private static Float32Tensor? Optional(ReadOnlyMemory<float> vector) => vector.IsEmpty ? null : Float32Tensor.Vector(vector);

    /// <summary>All tensors; the layer is null where there is one for all layers.</summary>
    public IEnumerable<(string Name, int? Layer, Tensor Tensor)> Named()
    {
        yield return ("token_embedding_table", null, TokenEmbedding);
        for (int l = 0; l < Layers.Count; l++)
        {
            foreach (string name in LayerWeights.Names)
            {
                if (Find(name, l) is { } tensor)
                    yield return (name, l, tensor);
            }
        }
        yield return ("rms_final_weight", null, this["rms_final_weight", 0]);
        if (Find(RopeFactorsName, 0) is { } factors)
            yield return (RopeFactorsName, null, factors);
        if (!IsClassifierShared)
            yield return ("wcls", null, Classifier);
    }

    /// <summary>Whether every matrix is float32.</summary>
    public bool AreFloat32 => Matrices.All(matrix => matrix is Float32Tensor);

    /// <summary>Whether every matrix is of floats, of 32 or 16 bits.</summary>
    public bool AreFloats => Matrices.All(matrix => matrix is Float32Tensor or GgmlTensor { Type.Unpack: null });

    /// <summary>The types of the matrices in words, those with the most bytes first.</summary>
    public string DescribeTypes()
    {
        string[] types = [.. Matrices.Select(matrix => matrix.Describe()).Distinct()];
        return types.Length == 1 ? types[0] : string.Join(", ", types.OrderByDescending(Bytes));

        long Bytes(string type) => Matrices.Sum(matrix => matrix.Describe() == type ? matrix.Bytes : 0);
    }

    // Loops here, since .NET compiles LINQ over tuples and numbers anew at each start.
    private IEnumerable<Tensor> Matrices
    {
        get
        {
            foreach ((string name, _, Tensor tensor) in Named())
            {
                if (!IsVector(name))
                    yield return tensor;
            }
        }
    }

    /// <summary>The same model with other matrices; vectors stay as they are.</summary>
    /// <param name="matrix">Gives the matrix to take in place of one.</param>
    public Weights Map(Func<Tensor, Tensor> matrix) => Map((name, layer) => matrix(this[name, layer]));

    /// <summary>The same by names.</summary>
    /// <param name="matrix">Gives the matrix of a name (run.c's) and a layer, which is 0 where there is one for all.</param>
    public Weights Map(Func<string, int, Tensor> matrix) => From(
        Layers.Count, IsClassifierShared, (name, layer) => IsVector(name) ? Find(name, layer) : matrix(name, layer));

    /// <summary>Whether a tensor of this name is a vector: of a norm, a bias, or RoPE's factors. Vectors are float32.</summary>
    public static bool IsVector(string name) => name is ['r', 'm', 's', '_', ..] or ['b', _] or RopeFactorsName;

    private const string RopeFactorsName = "rope_factors";
}

/// <summary>The weights of one layer. Note q_dim == n_heads * head_size, which is dim in run.c.</summary>
public sealed class LayerWeights
{
    internal static readonly string[] Names =
        ["rms_att_weight", "rms_ffn_weight", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "bq", "bk", "bv", "bo", "b1", "b2", "b3"];

    // weights for rmsnorms
    public required ReadOnlyMemory<float> RmsAtt { get; init; } // (dim,)
    public required ReadOnlyMemory<float> RmsFfn { get; init; } // (dim,)

    // weights for matmuls
    public required Tensor Wq { get; init; } // (q_dim, dim)
    public required Tensor Wk { get; init; } // (kv_dim, dim)
    public required Tensor Wv { get; init; } // (kv_dim, dim)
    public required Tensor Wo { get; init; } // (dim, q_dim)

    // weights for ffn
    public required Tensor W1 { get; init; } // (hidden_dim, dim)
    public required Tensor W2 { get; init; } // (dim, hidden_dim)
    public required Tensor W3 { get; init; } // (hidden_dim, dim)

    // what some models add to the products; empty in those without, as in run.c
    public ReadOnlyMemory<float> Bq { get; init; } // (q_dim,)
    public ReadOnlyMemory<float> Bk { get; init; } // (kv_dim,)
    public ReadOnlyMemory<float> Bv { get; init; } // (kv_dim,)
    public ReadOnlyMemory<float> Bo { get; init; } // (dim,)
    public ReadOnlyMemory<float> B1 { get; init; } // (hidden_dim,)
    public ReadOnlyMemory<float> B2 { get; init; } // (dim,)
    public ReadOnlyMemory<float> B3 { get; init; } // (hidden_dim,)
}
