namespace Llama2.Simple.Formats;

/// <summary>A file that is not what it should be. The message is one line that names the file, the field, and what was expected and found.</summary>
public abstract class ModelFileException : Exception
{
    private protected ModelFileException(string path, string field, string expected, string found, Exception? inner)
        : base($"{path}: {field}: expected {expected}, found {found}", inner) => (Path, Field) = (path, field);

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The field of the file that is wrong; "file" if it is the file itself.</summary>
    public string Field { get; }
}

/// <summary>A checkpoint that cannot be used.</summary>
public sealed class CheckpointException(string path, string field, string expected, string found, Exception? inner = null)
    : ModelFileException(path, field, expected, found, inner);

/// <summary>A tokenizer that cannot be used.</summary>
public sealed class TokenizerException(string path, string field, string expected, string found, Exception? inner = null)
    : ModelFileException(path, field, expected, found, inner);

/// <summary>A saved session that cannot be used, or not with this model.</summary>
public sealed class SessionException(string path, string field, string expected, string found, Exception? inner = null)
    : ModelFileException(path, field, expected, found, inner);
