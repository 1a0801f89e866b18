using Llama2.Simple.Formats.Gguf;

namespace Llama2.Tests.Shared;

/// <summary>
/// A small model with an embedding table of 2^24 rows, all of them zeros but the last: the file is long and takes little of a disk.
/// Beside it the same model with that one row alone, which must compute the same.
/// </summary>
internal sealed class SparseGguf : IDisposable
{
    public const int Rows = 1 << 24;

    private const string Table = "token_embd.weight";
    private readonly string _folder = Directory.CreateTempSubdirectory("llama2-").FullName;

    /// <param name="dim">Columns of the table.</param>
    /// <param name="type">The table's type; the bytes of a row are random.</param>
    public SparseGguf(int dim, GgmlType type)
    {
        (Path, OneRowPath) = (System.IO.Path.Combine(_folder, "sparse.gguf"), System.IO.Path.Combine(_folder, "small.gguf"));
        byte[] start = SmallGguf.Create(new Config(dim, 32, 1, 2, 1, 1, 64), values => values.Remove("tokenizer.ggml.tokens"),
            tensors => (tensors[0], tensors[^1]) = (tensors[^1], tensors[0])); // the table is the last
        List<SmallGguf.Place> places = SmallGguf.Counts(start);
        int rows = places.Last(place => place.Name == $"{Table}: dims").Offset;
        int offset = places.Find(place => place.Name == $"{Table}: offset")!.Offset;
        BitConverter.TryWriteBytes(start.AsSpan(offset - sizeof(uint)), type.Id);
        start = start[..^(4 * dim)]; // the row of float32
        byte[] row = new byte[type.RowBytes(dim)];
        new Random(5).NextBytes(row);
        for (int i = 0; i < row.Length && type == GgmlType.F32; i += sizeof(float))
            BitConverter.TryWriteBytes(row.AsSpan(i), row[i] / 256f - 0.5f);
        if (type.Name == "q4_0")
            for (int i = 0; i < row.Length; i += type.BlockBytes)
                BitConverter.TryWriteBytes(row.AsSpan(i), (Half)0.25f);
        File.WriteAllBytes(OneRowPath, [.. start, .. row]);
        BitConverter.TryWriteBytes(start.AsSpan(rows), (long)Rows);
        try
        {
            using FileStream stream = File.Create(Path);
            stream.Write(start);
            stream.SetLength(start.Length + row.Length * (long)Rows);
            stream.Position = stream.Length - row.Length;
            stream.Write(row);
        }
        catch (IOException e)
        {
            Dispose();
            Assert.Skip($"this file system holds no files with holes: {e.Message}");
        }
    }

    public string Path { get; }
    public string OneRowPath { get; }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
