namespace Llama2.Simple.Formats;

/// <summary>A file that is not what it should be. The message is one line: the file, the field, and what was expected and found.</summary>
public sealed class ModelFileException(string path, string field, string expected, string found, Exception? inner = null)
    : Exception($"{path}: {field}: expected {expected}, found {found}", inner)
{
    public string Path { get; } = path;   // as it was given
    public string Field { get; } = field; // "file" if it is the file itself
    public string Expected { get; } = expected;
    public string Found { get; } = found;
    public string Reason { get; } = $"{field}: expected {expected}, found {found}"; // the message without the path
}
