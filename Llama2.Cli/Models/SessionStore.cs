using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Cli.Models;

/// <summary>Reads and writes the sessions of one model and implementation.</summary>
internal sealed class SessionStore(LoadedModel model)
{
    private byte[]? _fingerprint;

    private byte[] Fingerprint => _fingerprint ??= ModelFingerprint.Of(model.Config, model.Weights);

    /// <exception cref="OperationCanceledException">It was cancelled, perhaps as it waited for who writes a pipe.</exception>
    public SavedSession Load(string path, CancellationToken cancellation)
    {
        Input.ThrowIfClosed(path);
        byte[] fingerprint = Fingerprint;
        return Input.Wait(() => SessionFile.Read(path, model.Config, fingerprint, model.Implementation), cancellation);
    }

    /// <summary>Saves the tokens that were fed and the one that comes next, or else the token that ended the text.</summary>
    public void Save(string path, Sequence sequence, CancellationToken cancellation, int? end = null, string notes = "")
    {
        List<int> tokens = [.. sequence.Tokens[..Math.Min(sequence.Tokens.Length, sequence.Fed + 1)]];
        if (end is not null)
            tokens.Add(end.Value);
        ISampler sampler = sequence.Sampler;
        Save(path, new([.. tokens], sequence.Cache, sampler.Temperature, sampler.TopP, sampler.RandomState, notes), cancellation);
    }

    public void Save(string path, SavedSession saved, CancellationToken cancellation) =>
        AtomicFile.Write(path, stream => SessionFile.Write(stream, saved, model.Config, Fingerprint, model.Implementation),
            AtomicFile.Private, cancellation);
}
