namespace Llama2.Simple;

/// <summary>
/// The keys and values of one sequence, for every layer and position so far: all that a model remembers.
/// It grows with the tokens in it; run.c allocates the whole context at once.
/// </summary>
public sealed class KvCache
{
    private const int FirstCapacity = 64;

    private readonly Config _config;
    private readonly float[][] _keys;   // (layer)(capacity, kv_dim)
    private readonly float[][] _values; // (layer)(capacity, kv_dim)
    private int _reserved;              // rows of the Forward call being prepared

    /// <summary>An empty sequence for models of this shape.</summary>
    /// <param name="config">The shape: layers, kv_dim and the most positions.</param>
    /// <param name="capacity">Positions to allocate now; more are allocated as they are needed.</param>
    public KvCache(Config config, int capacity = 0)
    {
        ArgumentNullException.ThrowIfNull(config);
        _config = config;
        _keys = new float[config.LayerCount][];
        _values = new float[config.LayerCount][];
        Array.Fill(_keys, []);
        Array.Fill(_values, []);
        EnsureCapacity(capacity);
    }

    /// <summary>Positions filled; the next row takes this one.</summary>
    public int Length { get; private set; }

    /// <summary>Positions allocated, at most <see cref="Config.SeqLen"/>.</summary>
    public int Capacity { get; private set; }

    /// <summary>
    /// All keys of a layer: (capacity, kv_dim). The array is pinned, so its address is good for as long as the capacity
    /// stays the same.
    /// </summary>
    public Span<float> Keys(int layer) => _keys[layer];

    /// <summary>All values of a layer: (capacity, kv_dim), pinned like <see cref="Keys(int)"/>.</summary>
    public Span<float> Values(int layer) => _values[layer];

    /// <summary>The keys of a layer at one position: (kv_dim,).</summary>
    public Span<float> Key(int layer, int position) => Keys(layer).Slice(position * _config.KvDim, _config.KvDim);

    /// <summary>The values of a layer at one position: (kv_dim,).</summary>
    public Span<float> Value(int layer, int position) => Values(layer).Slice(position * _config.KvDim, _config.KvDim);

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
        float[] grown = GC.AllocateUninitializedArray<float>(checked(capacity * _config.KvDim), pinned: true);
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

    /// <summary>Room for one more row of the call that is being prepared; see <see cref="Rows.Prepare"/>.</summary>
    internal void Reserve(Config config)
    {
        if (!ReferenceEquals(config, _config) && config != _config)
            throw new ArgumentException("the cache was made for another shape of model", nameof(config));
        EnsureCapacity(Length + _reserved + 1);
        _reserved++;
    }

    internal void EndReserve() => _reserved = 0;
}
