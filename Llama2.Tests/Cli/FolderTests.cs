namespace Llama2.Tests.Cli;

/// <summary>Tests that write files, each into a folder of its own.</summary>
public abstract class FolderTests : IDisposable
{
    private readonly TestFolder _folder = new();

    protected string Folder => _folder.Path;

    protected string At(string name) => _folder.File(name);

    public void Dispose()
    {
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }
}
