using System.Text.RegularExpressions;

namespace Llama2.Tests.Cli;

/// <summary>The model that ships is inside the program: commands work in an empty folder, and no file lies beside the program.</summary>
public sealed class ShippedModelTests : FolderTests
{
    [Fact]
    public void Beside_the_program_there_is_no_model()
    {
        string[] files = Directory.GetFiles(Path.GetDirectoryName(BuiltProgram.FilePath)!, "*", SearchOption.AllDirectories);
        Assert.DoesNotContain(files, file => file.EndsWith(".bin", StringComparison.Ordinal));
    }

    [Fact]
    public void Its_resources_are_the_files_of_weights()
    {
        foreach ((ModelSource source, string file) in (IEnumerable<(ModelSource, string)>)
            [(ModelSource.Shipped, "tales659K.bin"), (ModelSource.ShippedTokenizer, "tok512-tales.bin")])
        {
            using MappedFile inside = source.Map();
            Assert.Equal(File.ReadAllBytes(Repository.Weights(file)), inside.Slice<byte>(0, (int)inside.Length).ToArray());
        }
    }

    [Fact]
    public void Inspect_names_it_and_its_tokenizer()
    {
        string report = Run("inspect").Out;
        Assert.Matches(@"(?m)^file +tales659K \(inside the program\)$", report);
        Assert.Matches(@"(?m)^  file +tok512-tales \(inside the program\)$", report);
        Assert.Equal(report, Run("inspect", "tales659K").Out);
    }

    [Theory]
    [InlineData("quantize", "q.bin")]
    [InlineData("convert", "c.gguf")]
    public void What_is_made_of_it_tells_its_story_where_it_lies(string command, string output)
    {
        Assert.StartsWith("tales659K (inside the program): 2,667,420 bytes, ", Run(command, "tales659K", output).Out,
            StringComparison.Ordinal);
        string greedy = Run("-t", "0", "-n", "20").Out;
        Assert.Equal(greedy, Run(output, "-t", "0", "-n", "20").Out);
    }

    [Fact]
    public void A_copy_of_it_needs_no_tokenizer_beside_it_and_goes_on_with_its_sessions()
    {
        File.Copy(Repository.Weights("tales659K.bin"), At("tales659K.bin"));
        string whole = Run("-t", "0", "-n", "40").Out;
        string first = Run("tales659K.bin", "-t", "0", "-n", "20", "--save-session", "s").Out;
        string rest = Run("-t", "0", "-n", "20", "--load-session", "s").Out;
        Assert.Equal(whole.TrimEnd(), first.TrimEnd('\n') + rest.TrimEnd());
    }

    [Fact]
    public void Bench_gives_peers_files_of_it()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs bash");
        string model = Repository.Weights("tales659K.bin"), tokenizer = Repository.Weights("tok512-tales.bin");
        Run("convert", "tales659K", "x.gguf", "--type", "f32");
        string peer = $"p=bash -c 'cmp \"$1\" {model} && cmp \"$2\" {tokenizer} && cmp \"$3\" x.gguf && echo achieved tok/s: 5' "
            + "bash {model} {tokenizer} {gguf}";
        BuiltProgram run = Run("bench", "--quick", "--threads", "1", "-n", "4", "--peer", peer);
        Assert.Matches(new Regex(@"^\*\*tales659K, .*\| p +\| +1 \| +5\.00", RegexOptions.Singleline), run.Out);
    }

    [Fact]
    public void Verify_and_tokenize_have_it_too()
    {
        Assert.StartsWith("tales659K (inside the program)\n", Run("verify").Out, StringComparison.Ordinal);
        Assert.Equal("1 401 287 456 471 263 305 354 482\n", Run("tokenize", "Hello, world!").Out);
    }

    private BuiltProgram Run(params string[] args)
    {
        BuiltProgram run = BuiltProgram.Run(new BuiltProgram.Setup { WorkingDirectory = Folder }, args);
        Assert.True(run.ExitCode == 0, run.Err);
        return run;
    }
}
