namespace Llama2.Simple.Tensors;

/// <summary>
/// The types that the matrices of a model are written in, under the names that llama.cpp has for them. Quantised ones keep more bits in
/// the classifier, which is what their error shows in most; q4_k_m does in half of the layers' wv and w2 too.
/// </summary>
public sealed class TypeMix
{
    private readonly GgmlType _most, _classifier, _fine; // fine: of wv and w2 where it matters

    private TypeMix(uint fileType, string name, string most, string? classifier = null, string? fine = null)
    {
        (FileType, Name, _most) = (fileType, name, GgmlType.Find(most)!);
        (_classifier, _fine) = (GgmlType.Find(classifier ?? most)!, GgmlType.Find(fine ?? most)!);
    }

    /// <summary>The mixes, those that lose less first.</summary>
    public static IReadOnlyList<TypeMix> All { get; } =
    [
        new(0, "f32", "f32"), new(1, "f16", "f16"), new(32, "bf16", "bf16"), new(7, "q8_0", "q8_0"), new(18, "q6_k", "q6_K"),
        new(15, "q4_k_m", "q4_K", "q6_K", "q6_K"), new(14, "q4_k", "q4_K", "q6_K"), new(2, "q4_0", "q4_0", "q6_K"),
    ];

    public string Name { get; }
    public uint FileType { get; } // llama.cpp's number for files whose matrices are so: general.file_type

    /// <summary>The mix of this name.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static TypeMix Find(string name) =>
        All.FirstOrDefault(mix => mix.Name == name) ?? throw new ArgumentException($"no types are named {name}", nameof(name));

    /// <summary>
    /// The type of a matrix. Rows that are not of whole blocks of 256 are q8_0, and those that are not of whole blocks of 32 float16.
    /// </summary>
    /// <param name="name">run.c's name of the matrix.</param>
    /// <param name="layer">Its layer, or 0.</param>
    public GgmlType TypeOf(Weights weights, string name, int layer)
    {
        Tensor tensor = weights[name, layer];
        GgmlType[] types = [WantedType(weights, name, layer), GgmlType.Find("q8_0")!, GgmlType.F16];
        return types.First(type => tensor.Columns % type.BlockElements == 0);
    }

    /// <summary>The type of a matrix whose rows are of whole blocks of any type.</summary>
    public GgmlType WantedType(Weights weights, string name, int layer)
    {
        if (ReferenceEquals(weights[name, layer], weights.Classifier))
            return _classifier;
        return name is "wv" or "w2" && IsFine(layer, weights.Layers.Count) ? _fine : _most;
    }

    // The first and the last eighth of the layers, and every third between.
    private static bool IsFine(int layer, int layers) =>
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}
