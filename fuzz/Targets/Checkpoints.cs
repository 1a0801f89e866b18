namespace Llama2.Fuzz.Targets;

/// <summary>A file that does not begin with the magic number.</summary>
internal static class CheckpointV0
{
    public static void Run(ReadOnlySpan<byte> data) => CheckpointFile.Try(data, version: 0);

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-tied", CheckpointFile.Make(new(0, new Config(8, 6, 2, 4, 2, 5, 3), SharedClassifier: true))),
        new("seed-own-classifier", CheckpointFile.Make(new(0, new Config(4, 4, 1, 1, 1, 3, 8), SharedClassifier: false))),
        new("seed-cut", CheckpointFile.Make(new(0, new Config(6, 5, 1, 3, 1, 4, 2), SharedClassifier: true))[..100]),
    ];
}

/// <summary>A file that begins with the magic number, and whose version is not 2.</summary>
internal static class CheckpointV1
{
    public static void Run(ReadOnlySpan<byte> data) => CheckpointFile.Try(data, version: 1);

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-tied", CheckpointFile.Make(new(1, new Config(8, 6, 2, 4, 2, 5, 3), SharedClassifier: true))),
        new("seed-own-classifier", CheckpointFile.Make(new(1, new Config(4, 4, 1, 1, 1, 3, 1 << 24), SharedClassifier: false))),
    ];
}

/// <summary>An int8 file.</summary>
internal static class CheckpointV2
{
    public static void Run(ReadOnlySpan<byte> data) => CheckpointFile.Try(data, version: 2);

    public static IEnumerable<Seed> Seeds() =>
    [
        new("seed-tied", CheckpointFile.Make(new(2, new Config(8, 6, 2, 4, 2, 5, 3), SharedClassifier: true, GroupSize: 4))),
        new("seed-straddling-groups",
            CheckpointFile.Make(new(2, new Config(8, 12, 1, 2, 1, 4, 8), SharedClassifier: false, GroupSize: 16))),
    ];
}
