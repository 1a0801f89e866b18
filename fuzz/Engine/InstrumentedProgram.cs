using SharpFuzz;

namespace Llama2.Fuzz.Engine;

/// <summary>A copy of this program in which SharpFuzz counts the edges of the code under test and of the targets.</summary>
internal static class InstrumentedProgram
{
    /// <summary>Makes the copy in a folder, which is created.</summary>
    public static void Make(string folder)
    {
        Directory.CreateDirectory(folder);
        foreach (string path in Directory.EnumerateFiles(AppContext.BaseDirectory))
        {
            // Without a list of dependencies, .NET looks for them in the program's folder and nowhere else.
            if (!path.EndsWith(".deps.json", StringComparison.Ordinal))
                File.Copy(path, Path.Combine(folder, Path.GetFileName(path)), overwrite: true);
        }
        foreach (string name in new[] { "Llama2.Simple", "Llama2.Fast", "llama2", "Llama2.Fuzz" })
        {
            string types = name == "Llama2.Fuzz" ? "Llama2.Fuzz.Targets." : "", path = Path.Combine(folder, name + ".dll");
            _ = Fuzzer.Instrument(path, type => type.StartsWith(types, StringComparison.Ordinal), Options.Value).Count();
        }
    }
}
