using System.IO.MemoryMappedFiles;

namespace Llama2.Fuzz.Engine;

/// <summary>What a worker is doing, in a file that its supervisor maps too: it outlives the worker.</summary>
internal sealed unsafe class FlightRecorder : IDisposable
{
    public const int LongestInput = 4096;
    public const int Edges = 1 << 16; // SharpFuzz numbers them for AFL's map

    public struct Record
    {
        public long Executions;
        public int RandomSeed, Findings, CorpusInputs, EdgesTaken, Length;
        public bool IsRunning;
        public fixed byte Input[LongestInput];
        public fixed byte Trace[Edges];
    }

    private readonly MemoryMappedViewAccessor _view;
    private readonly Record* _record;

    public FlightRecorder(string folder)
    {
        string path = Path.Combine(folder, "flight-recorder");
        using MemoryMappedFile file = MemoryMappedFile.CreateFromFile(path, FileMode.OpenOrCreate, null, sizeof(Record));
        _view = file.CreateViewAccessor();
        _record = (Record*)_view.SafeMemoryMappedViewHandle.DangerousGetHandle();
    }

    public ref Record Now => ref *_record;
    public Span<byte> Input => new(_record->Input, _record->Length); // the last one that began to run
    public Span<byte> Trace => new(_record->Trace, Edges);           // for each edge, how often the last run took it, modulo 256

    public void Dispose() => _view.Dispose();
}
