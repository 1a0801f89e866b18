namespace Llama2.Fuzz.Engine;

/// <summary>The inputs worth mutating: each did something that none before it did.</summary>
internal sealed class Corpus(Random random)
{
    private const int Recent = 8;
    private readonly List<byte[]> _inputs = [];
    private readonly List<int> _ownerOf = []; // for each novelty its input, so that who brought many is chosen often

    public int Count => _inputs.Count;

    public void Add(byte[] data, int novelties)
    {
        _ownerOf.AddRange(Enumerable.Repeat(_inputs.Count, Math.Max(1, novelties)));
        _inputs.Add(data);
    }

    /// <summary>An input to mutate: one of the newest, or one in proportion to what it brought.</summary>
    public byte[] Pick() => random.Next(3) == 0
        ? _inputs[^(1 + random.Next(Math.Min(Recent, _inputs.Count)))]
        : _inputs[_ownerOf[random.Next(_ownerOf.Count)]];

    /// <summary>Any input, for splicing.</summary>
    public byte[] PickAny() => _inputs[random.Next(_inputs.Count)];

    /// <summary>The inputs in folders, in an order that is the same everywhere.</summary>
    public static IEnumerable<byte[]> Read(params IEnumerable<string> folders) =>
        folders.Where(Directory.Exists).SelectMany(Files).Select(File.ReadAllBytes);

    /// <summary>The inputs in a folder: what begins with a dot or was written about them is none.</summary>
    public static IEnumerable<string> Files(string folder) =>
        Directory.EnumerateFiles(folder).Where(path => !Path.GetFileName(path).StartsWith('.')).Order(StringComparer.Ordinal);
}
