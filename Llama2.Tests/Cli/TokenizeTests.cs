using System.Text.Json;

namespace Llama2.Tests.Cli;

/// <summary>Text to ids and back, as a user does it.</summary>
public sealed class TokenizeTests
{
    [Fact]
    public void Ids_of_a_text_are_run_c_s_and_detokenize_gives_it_back()
    {
        foreach (string line in File.ReadLines(Repository.Golden("tok512-tales.jsonl")).Where((_, i) => i % 12 == 5))
        {
            using JsonDocument json = JsonDocument.Parse(line);
            string text = json.RootElement.GetProperty("text").GetString()!;
            string ids = string.Join(' ', json.RootElement.GetProperty("run_c").EnumerateArray());
            BuiltProgram program = BuiltProgram.Run("tokenize", "--", text);
            Assert.Equal(ids + "\n", program.Out);
            Assert.Equal(text + "\n", BuiltProgram.Run(["detokenize", .. ids.Split(' ')]).Out);
        }
    }

    [Fact]
    public void Text_can_come_from_stdin()
    {
        BuiltProgram program = BuiltProgram.Run(new BuiltProgram.Setup { Input = "Hello, world!" }, "tokenize", "-");
        Assert.Equal("1 401 287 456 471 263 305 354 482\n", program.Out);
    }

    [Fact]
    public void Bos_can_be_left_out_and_pieces_shown()
    {
        BuiltProgram program = BuiltProgram.Run("tokenize", "--no-bos", "--pieces", "Hello");
        Assert.Equal("401  He\n287 ll\n456 o\n", program.Out);
    }

    [Fact]
    public void Another_tokenizer_is_named_with_z()
    {
        Repository.SkipWithoutShared();
        BuiltProgram program = BuiltProgram.Run("tokenize", "-z", Repository.Shared("weights", "tokenizer.bin"), "Hello, world!");
        Assert.Equal("1 15043 29892 3186 29991\n", program.Out);
    }
}
