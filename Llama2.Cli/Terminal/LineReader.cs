namespace Llama2.Cli.Terminal;

/// <summary>The lines of a stream as the bytes that came, without their ends.</summary>
/// <param name="stream">What is read.</param>
/// <param name="path">Its name, for messages.</param>
internal sealed class LineReader(Stream stream, string path) : IDisposable
{
    private readonly byte[] _buffer = new byte[1 << 16];
    private int _start, _end; // of what is in the buffer and in no line yet

    /// <summary>The next line, or null at the end.</summary>
    /// <exception cref="IOException">It has more than <see cref="Input.MaxText"/> bytes.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled before the line ended; no more can be read.</exception>
    public byte[]? Read(CancellationToken cancellation)
    {
        using MemoryStream line = new();
        int length;
        while ((length = _buffer.AsSpan(_start, _end - _start).IndexOf((byte)'\n')) < 0)
        {
            Input.ThrowIfTooLong(path, line.Length + _end - _start);
            line.Write(_buffer, _start, _end - _start);
            _start = 0;
            _end = Input.Wait(() => stream.Read(_buffer), cancellation);
            if (_end == 0)
                return line.Length == 0 ? null : WithoutReturn(line);
        }
        line.Write(_buffer, _start, length);
        _start += length + 1;
        return WithoutReturn(line);
    }

    private static byte[] WithoutReturn(MemoryStream line)
    {
        ReadOnlySpan<byte> bytes = line.GetBuffer().AsSpan(0, (int)line.Length);
        return (bytes is [.., (byte)'\r'] ? bytes[..^1] : bytes).ToArray();
    }

    public void Dispose() => stream.Dispose();
}
