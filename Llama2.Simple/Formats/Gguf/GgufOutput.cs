namespace Llama2.Simple.Formats.Gguf;

/// <summary>Where a GGUF file is written to. It counts the bytes, since not every stream can tell how many it has.</summary>
public sealed class GgufOutput(Stream stream)
{
    public long Length { get; private set; } // bytes so far

    internal IProgress<long>? Progress { get; set; } // gets the length after each write

    public void Write(ReadOnlySpan<byte> bytes)
    {
        stream.Write(bytes);
        Length += bytes.Length;
        Progress?.Report(Length);
    }
}
