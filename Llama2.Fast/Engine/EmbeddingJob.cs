namespace Llama2.Fast.Engine;

/// <summary>The embedding of a text: the mean of its tokens' states after the final norm, scaled to the length 1.</summary>
internal sealed class EmbeddingJob(Config config, IReadOnlyList<int> tokens, CancellationToken cancellation)
    : Job(config, tokens, cancellation)
{
    private readonly KvCache _cache = new(config);
    private readonly double[] _sum = new double[config.Dim]; // (dim,)
    private readonly TaskCompletionSource<float[]> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<float[]> Result => _result.Task;
    public override int FedTokens => _cache.Length;

    /// <summary>Feeds the next tokens, at most so many.</summary>
    public void Feed(ITransformer transformer, int max)
    {
        Row[] rows = [.. Prompt.Skip(FedTokens).Take(max).Select(token => new Row(token, _cache, Want.Embedding))];
        float[] states = new float[rows.Length * Config.Dim];
        transformer.Forward(rows, states);
        for (int i = 0; i < states.Length; i++) // in the order of the tokens, so that chunks change nothing
            _sum[i % Config.Dim] += states[i];
    }

    protected override bool TakeResults() => !IsPrefill;

    public override void End(Exception? error)
    {
        base.End(error);
        if (error is not null)
            _result.TrySetException(error);
        else if (IsPrefill)
            _result.TrySetCanceled();
        else
            _result.TrySetResult(Normalised());
    }

    private float[] Normalised()
    {
        double squares = 0;
        foreach (double value in _sum)
            squares += value * value;
        double length = Math.Sqrt(squares);
        return Array.ConvertAll(_sum, value => (float)(length > 0 ? value / length : 0));
    }
}
