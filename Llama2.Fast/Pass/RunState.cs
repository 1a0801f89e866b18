namespace Llama2.Fast.Pass;

/// <summary>run.c's RunState for a batch of rows: their places in their caches, and the current wave of activations.</summary>
/// <remarks>Where matrices are int8, groupSize elements of their input share a scale; some may be of blocks.</remarks>
internal sealed unsafe class RunState(
    Config config, ReadOnlyMemory<float> ropeFactors, int? groupSize, bool blocks, Kernel kernel, int threads) : IDisposable
{
    public const int MaxRows = 256;    // of a batch, so that its activations stay in L2
    private const int MaxTogether = 12; // rows that attend together

    public readonly Config Config = config;
    public readonly Kernel Kernel = kernel;
    public readonly Team Team = Team.Shared;
    public readonly int Threads = threads;
    private readonly Rope _rope = new(config, ropeFactors.Span);

    public readonly Activations X = new(config.Dim);                                        // (rows, dim)
    public readonly Activations Xb = new(config.Dim, groupSize, blocks);                    // (rows, dim), inside a residual branch
    public readonly Activations Q = new(config.QDim);                                       // (rows, q_dim)
    public readonly Activations K = new(config.KvDim), V = new(config.KvDim);               // (rows, kv_dim), on their way into the caches
    public readonly Activations Hb = new(config.HiddenDim, groupSize, blocks), Hb2 = new(config.HiddenDim); // (rows, hidden_dim)
    public readonly Activations Cos = new(config.HeadSize / 2), Sin = new(config.HeadSize / 2);     // (rows, head_size / 2), RoPE's angles

    private readonly Activations? _headOutputs = config.QDim == config.Dim ? null : new(config.QDim, groupSize, blocks);

    /// <summary>What attention found: (rows, q_dim); xb where it has the room, so that less memory is touched.</summary>
    public Activations HeadOutputs => _headOutputs ?? Xb;

    public int Rows; // of the batch
    public readonly KvCache[] Caches = new KvCache[MaxRows];
    public readonly int[] Positions = new int[MaxRows];
    public readonly Want[] Wants = new Want[MaxRows];

    public int GroupCount; // of rows that attend together
    public readonly int[] Groups = new int[MaxRows + 1]; // first row of each, and behind them the number of rows

    public void EnsureRows(int rows)
    {
        foreach (Activations activations in (ReadOnlySpan<Activations>)[X, Xb, Q, K, V, Hb, Hb2, Cos, Sin])
            activations.EnsureRows(rows);
        _headOutputs?.EnsureRows(rows);
    }

    /// <summary>Takes the rows' places in their caches, and copies their embeddings into x.</summary>
    public void Embed(ReadOnlySpan<Row> rows, Tensor embedding)
    {
        Rows = rows.Length;
        for (int i = 0; i < rows.Length; i++)
        {
            (Caches[i], Wants[i], Positions[i]) = (rows[i].Cache, rows[i].Want, rows[i].Cache.Length);
            rows[i].Cache.Advance();
            embedding.CopyRow(rows[i].Token, X.Row(i));
            _rope.Angles(Positions[i], Cos[i], Sin[i]);
        }
        GroupRows();
    }

    /// <summary>Drops the rows that want nothing.</summary>
    public void KeepWanted()
    {
        int kept = 0;
        for (int i = 0; i < Rows; i++)
        {
            if (Wants[i] == Want.Nothing)
                continue;
            if (kept < i)
            {
                (Caches[kept], Wants[kept], Positions[kept]) = (Caches[i], Wants[i], Positions[i]);
                foreach (Activations activations in (ReadOnlySpan<Activations>)[X, Xb, Cos, Sin])
                    activations.Move(i, kept);
            }
            kept++;
        }
        Rows = kept;
        GroupRows();
    }

    // Rows that follow one another in one cache attend together.
    private void GroupRows()
    {
        GroupCount = 0;
        for (int i = 0; i < Rows; i++)
        {
            bool follows = i > 0 && Caches[i] == Caches[i - 1] && Positions[i] == Positions[i - 1] + 1;
            if (!follows || i - Groups[GroupCount - 1] == MaxTogether)
                Groups[GroupCount++] = i;
        }
        Groups[GroupCount] = Rows;
    }

    /// <summary>RoPE of some floats of a row's queries or keys.</summary>
    public void Rotate(Activations vec, int row, int first, int count) => _rope.Rotate(vec[row], first, count, Cos[row], Sin[row]);

    public void Dispose()
    {
        foreach (Activations activations in (ReadOnlySpan<Activations>)[X, Xb, Q, K, V, Hb, Hb2, Cos, Sin])
            activations.Dispose();
        _headOutputs?.Dispose();
    }
}
