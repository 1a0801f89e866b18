namespace Llama2.Simple;

/// <summary>A sequence has reached the model's context length.</summary>
public sealed class ContextFullException(int seqLen) : InvalidOperationException($"the context is full: this model holds {seqLen} tokens");

/// <summary>
/// The keys and values of one sequence, for every layer and position so far: all that a model remembers. It grows with the tokens in it;
/// run.c allocates the whole context at once.
/// </summary>
public sealed class KvCache
{
    private const int FirstCapacity = 64;

    private readonly Config _config;
    private readonly float[][] _keys;   // (layer)(capacity, kv_dim)
    private readonly float[][] _values; // (layer)(capacity, kv_dim)

    /// <summary>An empty sequence for models of this shape; the capacity is in positions.</summary>
    public KvCache(Config config, int capacity = 0)
    {
        _config = config;
        _keys = new float[config.LayerCount][];
        _values = new float[config.LayerCount][];
        Array.Fill(_keys, []);
        Array.Fill(_values, []);
        EnsureCapacity(capacity);
    }

    public int Length { get; private set; }   // positions filled; the next row takes this one
    public int Capacity { get; private set; } // positions allocated, at most seq_len
    public Span<float> Keys(int layer) => _keys[layer];     // (capacity, kv_dim)
    public Span<float> Values(int layer) => _values[layer]; // (capacity, kv_dim)

    // of one position: (kv_dim,)
    public Span<float> Key(int layer, int position) => Keys(layer).Slice(position * _config.KvDim, _config.KvDim);
    public Span<float> Value(int layer, int position) => Values(layer).Slice(position * _config.KvDim, _config.KvDim);

    public bool Fits(Config config) => ReferenceEquals(config, _config) || config == _config;

    /// <summary>Allocates room for at least <paramref name="positions"/> positions.</summary>
    /// <exception cref="ContextFullException">More than <see cref="Config.SeqLen"/>.</exception>
    public void EnsureCapacity(int positions)
    {
        if (positions <= Capacity)
            return;
        if (positions > _config.SeqLen)
            throw new ContextFullException(_config.SeqLen);
        int capacity = (int)Math.Min(_config.SeqLen, Math.Max(positions, Math.Max(FirstCapacity, 2L * Capacity)));
        for (int layer = 0; layer < _keys.Length; layer++)
        {
            _keys[layer] = Grown(_keys[layer], capacity);
            _values[layer] = Grown(_values[layer], capacity);
        }
        Capacity = capacity;
    }

    private float[] Grown(float[] old, int capacity)
    {
        float[] grown = GC.AllocateUninitializedArray<float>(checked(capacity * _config.KvDim));
        old.AsSpan(0, Length * _config.KvDim).CopyTo(grown);
        return grown;
    }

    /// <summary>Takes the next position into use, once its keys and values are there.</summary>
    public void Advance()
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(Length, Capacity);
        Length++;
    }

    /// <summary>Forgets all positions from <paramref name="length"/> on.</summary>
    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Length = length;
    }
}
