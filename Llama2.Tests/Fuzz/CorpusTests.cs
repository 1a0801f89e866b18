using Llama2.Fuzz;
using Llama2.Fuzz.Engine;

namespace Llama2.Tests.Fuzz;

/// <summary>What was found once is not found again.</summary>
public sealed class CorpusTests
{
    private static string Folder(string target) => Path.Combine(Repository.Root, "fuzz", "corpus", target);

    public static TheoryData<string> Targets => [.. Target.All.Select(target => target.Name)];

    [Theory, MemberData(nameof(Targets))]
    public void Every_input_of_the_corpus_passes(string name)
    {
        string[] files = [.. FuzzOptions.Inputs(Folder(name))];
        Assert.NotEmpty(files);
        Assert.All(files, file => Target.Find(name)!.Run(File.ReadAllBytes(file)));
    }

    [Theory, MemberData(nameof(Targets))]
    public void Seeds_are_those_the_program_makes(string name)
    {
        Seed[] seeds = [.. Target.Find(name)!.Seeds()];
        Assert.Equal(seeds.Select(seed => seed.Name).Order(StringComparer.Ordinal),
            FuzzOptions.Inputs(Folder(name)).Select(path => Path.GetFileName(path)!)
                .Where(file => !file.StartsWith("found-", StringComparison.Ordinal)));
        Assert.All(seeds, seed => Assert.Equal(seed.Data, File.ReadAllBytes(Path.Combine(Folder(name), seed.Name))));
        Assert.All(seeds, seed => Assert.InRange(seed.Data.Length, 0, FlightRecorder.LongestInput));
    }

    [Fact]
    public void Every_corpus_has_a_target() =>
        Assert.Equal(Target.All.Select(target => target.Name).Order(StringComparer.Ordinal),
            Directory.EnumerateDirectories(Folder("")).Select(folder => Path.GetFileName(folder)!).Order(StringComparer.Ordinal));
}
