using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Llama2.Tests.ReadMe;

/// <summary>The README's lines of C#, as they stand there, are the program of a new project outside the repository.</summary>
public sealed partial class LinesOfCSharpTests
{
    private const string Word = "Transformer";

    [Theory]
    [InlineData(Word)]
    [InlineData("FastTransformer")]
    public async Task They_tell_the_story_that_the_README_shows(string transformer)
    {
        string lines = Assert.Single(CSharp().Matches(ReadMeTests.ReadMe)).Groups["lines"].Value;
        Assert.Single(TransformerWord().Matches(lines));
        using TestFolder folder = new();
        File.WriteAllText(folder.File("Program.cs"), TransformerWord().Replace(lines, transformer));
        File.WriteAllText(folder.File("Story.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <Nullable>enable</Nullable>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
                <UseSharedCompilation>false</UseSharedCompilation> <!-- a compiler server would outlive the test and hold its stdout -->
              </PropertyGroup>
              <ItemGroup>
                <Reference Include="{AppContext.BaseDirectory}Llama2.Simple.dll;{AppContext.BaseDirectory}Llama2.Fast.dll" />
              </ItemGroup>
            </Project>
            """);

        ProcessStartInfo start = new("dotnet", ["run", "--project", folder.Path])
        {
            RedirectStandardOutput = true,
            WorkingDirectory = Repository.Root,
        };
        using Process process = Process.Start(start)!;
        string story = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(ReadMeTests.ShownRun().Match(ReadMeTests.ReadMe).Groups["output"].Value.TrimEnd('\n'), story);
        Assert.Equal(0, process.ExitCode);
    }

    [GeneratedRegex(@"^```csharp\n(?<lines>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex CSharp();

    [GeneratedRegex($@"\b{Word}\b")]
    private static partial Regex TransformerWord();
}
