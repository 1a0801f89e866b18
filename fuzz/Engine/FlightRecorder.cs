using System.IO.MemoryMappedFiles;

namespace Llama2.Fuzz.Engine;

/// <summary>What is known of a run when its process has died of it: the input, in a file that both processes map.</summary>
internal sealed unsafe class FlightRecorder : IDisposable
{
    private const int HeaderBytes = 32;
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;

    public FlightRecorder(string path, int maxLength)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        _file = MemoryMappedFile.CreateFromFile(path, FileMode.OpenOrCreate, null, HeaderBytes + maxLength);
        _view = _file.CreateViewAccessor();
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
    }

    /// <summary>Runs begun, of all processes that shared the file since it was reset.</summary>
    public ref long Executions => ref *(long*)_start;

    /// <summary>Findings saved.</summary>
    public ref int Findings => ref *(int*)(_start + 8);

    private ref int Length => ref *(int*)(_start + 12);

    /// <summary>The input of the last run.</summary>
    public ReadOnlySpan<byte> Input => new(_start + HeaderBytes, Length);

    public void Reset() => new Span<byte>(_start, HeaderBytes).Clear();

    public void Begin(ReadOnlySpan<byte> data)
    {
        data.CopyTo(new Span<byte>(_start + HeaderBytes, data.Length));
        Length = data.Length;
        Executions++;
    }

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }
}
