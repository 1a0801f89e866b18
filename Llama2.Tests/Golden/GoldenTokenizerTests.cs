using System.Globalization;
using System.Text.Json;

namespace Llama2.Tests.Golden;

/// <summary>Ids are those of run.c's <c>encode</c>, of sentencepiece, and of llama.cpp's own test.</summary>
public sealed class GoldenTokenizerTests
{
    public static TheoryData<string> Tokenizers
    {
        get
        {
            if (!Repository.HasShared)
                return ["tok512-tales", new TheoryDataRow<string>("other tokenizers") { Skip = Repository.NoShared }];
            return new(Directory.EnumerateFiles(Repository.Shared("golden", "public", "tokenize"), "*.jsonl")
                .Select(file => Path.GetFileNameWithoutExtension(file)).Append("tok512-tales").Distinct());
        }
    }

    [Theory]
    [MemberData(nameof(Tokenizers))]
    public void Ids_are_those_of_run_c_and_of_sentencepiece(string name)
    {
        Tokenizer tokenizer = TokenizerFile.Open(Repository.FindModel(name + ".bin")!);
        string own = Repository.Golden(name + ".jsonl");
        string[] lines = File.ReadAllLines(File.Exists(own) ? own : Repository.Shared("golden", "public", "tokenize", name + ".jsonl"));
        Assert.NotEmpty(lines);
        foreach (string line in lines)
        {
            using JsonDocument json = JsonDocument.Parse(line);
            string text = json.RootElement.GetProperty("text").GetString()!;
            int[] ids = tokenizer.Encode(text);
            Assert.Equal(Ids(json, "run_c"), ids);
            if (name != "tok512" && !text.Contains('\u2581', StringComparison.Ordinal)) // where the two differ
                Assert.Equal(Ids(json, "sentencepiece"), ids);
            Assert.Equal(text, tokenizer.Decode(ids));
        }
    }

    [Fact]
    public void Ids_of_the_texts_of_llama_cpp_are_the_ones_it_expects()
    {
        Repository.SkipWithoutShared();
        Tokenizer tokenizer = TokenizerFile.Open(Repository.FindModel("tokenizer.bin")!, 32000);
        string[] texts = File.ReadAllText(Repository.Shared("tokenizer", "ggml-vocab-llama-spm.gguf.inp")).Split("\n__ggml_vocab_test__\n");
        string[] expected = File.ReadAllLines(Repository.Shared("tokenizer", "ggml-vocab-llama-spm.gguf.out"));
        Assert.Equal(expected.Length, texts.Length - 1); // what follows the last separator is no text
        for (int i = 0; i < expected.Length; i++)
        {
            int[] ids = [.. expected[i].Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .Select(id => int.Parse(id, CultureInfo.InvariantCulture))];
            Assert.Equal(ids, tokenizer.Encode(texts[i], bos: false));
        }
    }

    private static int[] Ids(JsonDocument json, string property) =>
        [.. json.RootElement.GetProperty(property).EnumerateArray().Select(id => id.GetInt32())];
}
