namespace Llama2.Simple;

/// <summary>
/// The reference: run.c's <c>forward</c> for float32 weights and runq.c's for int8 ones, bit for bit. <see cref="Forward(Row,
/// Span{float})"/> is the whole model; Llama2.Fast computes the same in less time.
/// </summary>
/// <param name="weights">The model's weights; a file that holds them must stay open for as long.</param>
public sealed class Transformer(Config config, Weights weights) : ITransformer
{
    // the current wave of activations
    private readonly float[] _x = new float[config.Dim];            // activation at current position (dim,)
    private readonly float[] _xb = new float[config.Dim];           // same, but inside a residual branch (dim,)
    private readonly float[] _xb2 = new float[config.Dim];          // an additional buffer just for convenience (dim,)
    private readonly float[] _q = new float[config.QDim];           // query (q_dim,)
    private readonly float[] _heads = new float[config.QDim];       // what the heads of attention found, side by side (q_dim,)
    private readonly float[] _hb = new float[config.HiddenDim];     // buffer for hidden dimension in the ffn (hidden_dim,)
    private readonly float[] _hb2 = new float[config.HiddenDim];    // buffer for hidden dimension in the ffn (hidden_dim,)
    private readonly float[] _cos = new float[config.HeadSize / 2]; // RoPE's angles at this position (head_size / 2,)
    private readonly float[] _sin = new float[config.HeadSize / 2]; // (head_size / 2,)
    private readonly float[] _frequencies = Nn.RopeFrequencies(config, weights.RopeFactors.Span); // (rope_dim / 2,)
    private readonly float[] _logits = new float[config.VocabSize]; // for Want.Token (vocab_size,)
    private float[] _att = [];                                      // scores of one head (positions so far,)

    public Config Config { get; } = config;
    public int PreferredRows => 1; // rows are computed one by one, so a call of more saves nothing

    public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
    {
        RowChecks.Prepare(Config, rows, output);
        foreach (Row row in rows)
        {
            Forward(row, output);
            output = output[RowChecks.OutputLength(Config, row.Want)..];
        }
    }

    private void Forward(Row row, Span<float> output)
    {
        KvCache cache = row.Cache;
        int pos = cache.Length;

        // copy the token embedding into x
        weights.TokenEmbedding.CopyRow(row.Token, _x);
        Nn.RopeAngles(_cos, _sin, pos, _frequencies, Config.RopeScaling?.Magnitude ?? 1);

        for (int l = 0; l < Config.LayerCount; l++)
        {
            LayerWeights w = weights.Layers[l];

            // attention: qkv for this position; keys and values go straight into the cache
            Nn.RmsNorm(_xb, _x, w.RmsAtt.Span, Config.NormEpsilon);
            w.Wq.Multiply(_xb, _q);
            w.Wk.Multiply(_xb, cache.Key(l, pos));
            w.Wv.Multiply(_xb, cache.Value(l, pos));
            Nn.AddBias(_q, w.Bq.Span);
            Nn.AddBias(cache.Key(l, pos), w.Bk.Span);
            Nn.AddBias(cache.Value(l, pos), w.Bv.Span);
            Nn.Rope(_q, _cos, _sin);
            Nn.Rope(cache.Key(l, pos), _cos, _sin);
            Attention(cache, l, pos);
            w.Wo.Multiply(_heads, _xb2);
            Nn.Add(_x, _xb2);
            Nn.AddBias(_x, w.Bo.Span);

            // ffn: in PyTorch this is self.w2(F.silu(self.w1(x)) * self.w3(x))
            Nn.RmsNorm(_xb, _x, w.RmsFfn.Span, Config.NormEpsilon);
            w.W1.Multiply(_xb, _hb);
            w.W3.Multiply(_xb, _hb2);
            Nn.AddBias(_hb, w.B1.Span);
            Nn.AddBias(_hb2, w.B3.Span);
            Nn.SwiGlu(_hb, _hb2);
            w.W2.Multiply(_hb, _xb);
            Nn.Add(_x, _xb);
            Nn.AddBias(_x, w.B2.Span);
        }

        // final rmsnorm, classifier into logits
        Nn.RmsNorm(_x, _x, weights.RmsFinal.Span, Config.NormEpsilon);
        cache.Advance();
        switch (row.Want)
        {
            case Want.Logits:
                weights.Classifier.Multiply(_x, output);
                break;
            case Want.Token:
                weights.Classifier.Multiply(_x, _logits);
                output[0] = Sampler.ArgMax(_logits);
                break;
            case Want.Embedding:
                _x.CopyTo(output);
                break;
        }
    }

    /// <summary>Multihead attention of the query over all positions up to and including its own, into the heads (q_dim,).</summary>
    private void Attention(KvCache cache, int layer, int pos)
    {
        int headSize = Config.HeadSize, kvDim = Config.KvDim, kvMul = Config.KvMul;
        float sqrtHeadSize = MathF.Sqrt(headSize);
        ReadOnlySpan<float> keys = cache.Keys(layer), values = cache.Values(layer); // (positions, kv_dim)
        if (_att.Length <= pos)
            _att = new float[cache.Capacity];
        Span<float> att = _att.AsSpan(0, pos + 1);
        _heads.AsSpan().Clear();

        for (int h = 0; h < Config.HeadCount; h++)
        {
            ReadOnlySpan<float> q = _q.AsSpan(h * headSize, headSize);
            int kvHead = h / kvMul * headSize; // where this head's keys and values begin in kv_dim

            // scores: the dot product of the query with each position's key
            for (int t = 0; t < att.Length; t++)
                att[t] = Nn.Dot(q, keys.Slice(t * kvDim + kvHead, headSize)) / sqrtHeadSize;
            Nn.Softmax(att);

            // weighted sum of the values
            Span<float> head = _heads.AsSpan(h * headSize, headSize);
            for (int t = 0; t < att.Length; t++)
                Nn.AddScaled(head, values.Slice(t * kvDim + kvHead, headSize), att[t]);
        }
    }

    /// <summary>Nothing to release: the weights belong to their file.</summary>
    public void Dispose()
    {
    }
}
