using System.IO.Compression;

namespace Llama2.Tests.Cli;

/// <summary>A file of another kind than the expected one is named by what it is.</summary>
public sealed class FilesForeignTests : FolderTests
{
    private static readonly string Model = Repository.Weights("tales659K.bin"), Tokenizer = Repository.Weights("tok512-tales.bin");

    [Theory]
    [InlineData("lfs", "a Git LFS pointer; `git lfs pull` fetches the file itself")]
    [InlineData("html", "an HTML page, perhaps of a login or an error; download the file itself")]
    [InlineData("text", "a text, which begins \"Not Found\"")]
    [InlineData("gzip", "a gzip archive; gunzip unpacks it")]
    [InlineData("zip", "a zip archive; unpack it, or if PyTorch wrote it, convert it with llama2.c's export.py")]
    [InlineData("ggjt", "a file of ggml before GGUF; llama.cpp's converter makes GGUF of the original model")]
    [InlineData("pickle", "an old PyTorch file; load and save it with today's, and convert it with llama2.c's export.py")]
    [InlineData("zeros", "zeros, as of a download that has not ended")]
    [InlineData("gguf", "a GGUF file")]
    [InlineData("safetensors", "a safetensors file, which is not read; llama2.c's export.py makes a checkpoint of it")]
    [InlineData("sentencepiece", "a SentencePiece model; llama2.c's tokenizer.py makes a tokenizer.bin of it")]
    [InlineData("checkpoint v0", "a checkpoint of llama2.c")]
    [InlineData("checkpoint v2", "a checkpoint of llama2.c")]
    [InlineData("tokenizer", "a tokenizer of llama2.c")]
    [InlineData("session", "a saved session")]
    public void The_message_says_what_it_is(string what, string named)
    {
        string path = At("file");
        if (what == "session")
            Assert.Equal(0, BuiltProgram.Run("-n", "5", "--save-session", path).ExitCode);
        else
            File.WriteAllBytes(path, Contents(what));
        if (!what.StartsWith("checkpoint", StringComparison.Ordinal) && what != "gguf")
            AssertRefused("a checkpoint of llama2.c or a GGUF file", path, "-z", Tokenizer);
        if (what is not ("tokenizer" or "gguf"))
            AssertRefused("a tokenizer of llama2.c", Model, "-z", path);
        if (what != "session")
            AssertRefused("a saved session", Model, "--load-session", path);

        void AssertRefused(string expected, params string[] args)
        {
            BuiltProgram run = BuiltProgram.Run([.. args, "--silent"]);
            Assert.Equal((2, "", $"llama2: {path}: file: expected {expected}, found {named}\n"), (run.ExitCode, run.Out, run.Err));
        }
    }

    private static byte[] Contents(string what)
    {
        byte[] zeros = new byte[1000];
        using MemoryStream stream = new();
        switch (what)
        {
            case "gzip":
                using (GZipStream gzip = new(stream, CompressionLevel.Fastest))
                    gzip.Write(File.ReadAllBytes(Model));
                break;
            case "zip":
                using (ZipArchive zip = new(stream, ZipArchiveMode.Create))
                    zip.CreateEntry("archive/data.pkl");
                break;
            case "safetensors":
                stream.Write([100, 0, 0, 0, 0, 0, 0, 0, .. "{\"tensor\":{}}"u8, .. zeros]);
                break;
            default:
                stream.Write(what switch
                {
                    "lfs" => [.. "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 60816028\n"u8],
                    "html" => [.. "\r\n<!DOCTYPE HTML><html><body>Please log in.</body></html>"u8],
                    "text" => [.. "Not Found\n"u8],
                    "ggjt" => [.. "tjgg"u8, 3, 0, 0, 0, .. zeros],
                    "pickle" => [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, .. zeros],
                    "zeros" => zeros,
                    "gguf" => [.. "GGUF"u8, 3, 0, 0, 0, .. zeros],
                    "sentencepiece" => [0x0a, 0x0e, 0x0a, 0x05, .. "<unk>"u8, 0x15, .. zeros],
                    "checkpoint v0" => File.ReadAllBytes(Model),
                    "checkpoint v2" => File.ReadAllBytes(Repository.Golden("tales659K_q80.bin")),
                    _ => File.ReadAllBytes(Tokenizer),
                });
                break;
        }
        return stream.ToArray();
    }
}
