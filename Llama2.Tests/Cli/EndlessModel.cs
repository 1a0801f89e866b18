using Llama2.Cli.Bench;

namespace Llama2.Tests.Cli;

/// <summary>A model with a context so long that a test can interrupt it at any speed, with its tokenizer beside it.</summary>
internal static class EndlessModel
{
    public const int Context = 20_000;

    /// <summary>Writes both into a folder and returns the path of the checkpoint.</summary>
    public static string Write(string folder)
    {
        string path = Path.Combine(folder, "endless.bin");
        using FileStream file = File.Create(path);
        Shape.Parse($"64,64,8,8,8,512,{Context}").Write(file, CancellationToken.None);
        File.Copy(Repository.Weights("tok512-tales.bin"), Path.Combine(folder, "tokenizer.bin"));
        return path;
    }
}
