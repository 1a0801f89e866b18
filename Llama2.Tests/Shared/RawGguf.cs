using System.Text;

namespace Llama2.Tests.Shared;

/// <summary>A GGUF file of version 3 without tensors, written value by value as no sane program would.</summary>
internal sealed class RawGguf : IDisposable
{
    public const uint U8 = 0, U32 = 4, I32 = 5, F32 = 6, Text = 8, Array = 9; // types of values

    private readonly FileStream _stream = File.Create(System.IO.Path.GetTempFileName());
    private ulong _keys;

    public RawGguf() => _stream.Write([.. "GGUF"u8, 3, 0, 0, 0, .. new byte[16]]);

    public string Path => _stream.Name;

    /// <summary>A key with a value of any type, as its bytes.</summary>
    public RawGguf Add(string key, uint type, params ReadOnlySpan<byte> value)
    {
        Write(Encoding.UTF8.GetBytes(key));
        Write(type);
        _stream.Write(value);
        _keys++;
        return this;
    }

    public RawGguf Add(string key, string value)
    {
        Add(key, Text);
        Write(Encoding.UTF8.GetBytes(value));
        return this;
    }

    /// <summary>An array, as the bytes of its elements.</summary>
    public RawGguf AddArray(string key, uint type, ulong count, params ReadOnlySpan<byte> elements)
    {
        Add(key, Array);
        Write(type);
        Write(count);
        _stream.Write(elements);
        return this;
    }

    public RawGguf AddTexts(string key, params string[] texts)
    {
        AddArray(key, Text, (ulong)texts.Length);
        foreach (string text in texts)
            Write(Encoding.UTF8.GetBytes(text));
        return this;
    }

    /// <summary>So many zeros, which take no room on a disk.</summary>
    public RawGguf Hole(long bytes)
    {
        _stream.Position += bytes;
        return this;
    }

    /// <summary>The finished file's name.</summary>
    public string Finish()
    {
        _stream.SetLength(_stream.Position);
        _stream.Position = 16;
        _stream.Write(BitConverter.GetBytes(_keys));
        _stream.Dispose();
        return Path;
    }

    public void Dispose()
    {
        _stream.Dispose();
        File.Delete(Path);
    }

    private void Write(uint value) => _stream.Write(BitConverter.GetBytes(value));
    private void Write(ulong value) => _stream.Write(BitConverter.GetBytes(value));

    private void Write(byte[] text)
    {
        Write((ulong)text.Length);
        _stream.Write(text);
    }
}
