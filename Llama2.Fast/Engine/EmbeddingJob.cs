namespace Llama2.Fast.Engine;

/// <summary>The embedding of a text: the mean of its tokens' states after the final norm, scaled to the length 1.</summary>
internal sealed class EmbeddingJob : Job
{
    private readonly Config _config;
    private readonly int[] _tokens;
    private readonly KvCache _cache;
    private readonly double[] _sum; // (dim,)
    private readonly TaskCompletionSource<float[]> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public EmbeddingJob(Config config, IReadOnlyList<int> tokens, CancellationToken cancellation)
        : base(cancellation)
    {
        (_config, _tokens) = (config, Checked(config, tokens));
        (_cache, _sum) = (new KvCache(config), new double[config.Dim]);
    }

    public Task<float[]> Result => _result.Task;

    public override int PromptTokens => _tokens.Length;
    public override int FedTokens => _cache.Length;
    public override int CachedTokens => 0;
    public override int SampledTokens => 0;
    public override int Waiting => _tokens.Length - _cache.Length;
    public override bool IsPrefill => Waiting > 0;

    protected override void Start(KvCache? cache, int common)
    {
    }

    /// <summary>Feeds the next tokens, at most so many.</summary>
    public void Feed(ITransformer transformer, int max)
    {
        int first = _cache.Length, count = Math.Min(max, Waiting);
        Row[] rows = new Row[count];
        for (int i = 0; i < count; i++)
            rows[i] = new Row(_tokens[first + i], _cache, Want.Embedding);
        float[] states = new float[count * _config.Dim];
        transformer.Forward(rows, states);
        for (int i = 0; i < states.Length; i++) // in the order of the tokens, so that chunks change nothing
            _sum[i % _config.Dim] += states[i];
    }

    protected override bool TakeResults() => Waiting == 0;

    protected override void Complete(Exception? error)
    {
        if (error is not null)
            _result.TrySetException(error);
        else if (Waiting > 0)
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
