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

    [Fact]
    public void Inputs_are_short_enough_for_our_own_loop() => Assert.All(
        Directory.EnumerateFiles(Folder(""), "*", SearchOption.AllDirectories),
        file => Assert.InRange(new FileInfo(file).Length, 0, FlightRecorder.LongestInput));

    [Theory]
    [InlineData("CheckpointV0")]
    [InlineData("CheckpointV1")]
    [InlineData("CheckpointV2")]
    [InlineData("TokenizerFile")]
    [InlineData("Gguf")]
    [InlineData("SessionFile")]
    public void Seeds_are_files_that_are_accepted(string name) => Assert.All(
        Directory.EnumerateFiles(Folder(name), "seed-*").Where(path => Path.GetFileName(path) is not ("seed-cut" or "seed-values")),
        path =>
        {
            if (name == "TokenizerFile")
                TokenizerFile.Open(path);
            else if (name == "SessionFile")
                SessionFile.Read(path, new Config(8, 6, 2, 4, 2, 5, 3), new byte[32], "simple");
            else
                ModelFile.Open(path).Dispose();
        });

    [Fact]
    public void Words_are_those_of_their_dictionary() =>
        Assert.Equal(["simple"u8.ToArray(), "S2%l"u8.ToArray()], new FuzzOptions(Target.Find("SessionFile")!).Words);

    [Fact]
    public void Every_corpus_has_a_target() =>
        Assert.Equal(Target.All.Select(target => target.Name).Order(StringComparer.Ordinal),
            Directory.EnumerateDirectories(Folder("")).Select(folder => Path.GetFileName(folder)!).Order(StringComparer.Ordinal));
}
