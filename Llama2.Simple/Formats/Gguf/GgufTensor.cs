using Llama2.Simple.Tensors;

namespace Llama2.Simple.Formats.Gguf;

/// <summary>A tensor as a GGUF file lists it.</summary>
/// <param name="Name">Its name in the file.</param>
/// <param name="Dimensions">Sizes, the fastest first: columns, then rows.</param>
/// <param name="Offset">Where its bytes begin, from the beginning of the file.</param>
/// <param name="Bytes">How many there are.</param>
/// <param name="File">The file, which is one of several where a model is split.</param>
public sealed record GgufTensor(string Name, IReadOnlyList<long> Dimensions, GgmlType Type, long Offset, long Bytes, MappedFile File)
{
    public long Elements => Dimensions.Aggregate((a, b) => a * b); // the file was checked: it fits

    /// <summary>The sizes in words: columns x rows.</summary>
    public string Shape => string.Join(" x ", Dimensions);
}
