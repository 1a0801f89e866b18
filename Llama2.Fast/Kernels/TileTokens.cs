namespace Llama2.Fast.Kernels;

/// <summary>The tokens of a tile, a number that the compiler knows: it leaves out what more tokens would need.</summary>
internal interface ITokens
{
    static abstract int Count { get; }
}

internal struct One : ITokens { public static int Count => 1; }
internal struct Two : ITokens { public static int Count => 2; }
internal struct Three : ITokens { public static int Count => 3; }
internal struct Four : ITokens { public static int Count => 4; }
internal struct Five : ITokens { public static int Count => 5; }
internal struct Six : ITokens { public static int Count => 6; }
internal struct Seven : ITokens { public static int Count => 7; }
internal struct Eight : ITokens { public static int Count => 8; }

/// <summary>How tokens are divided among tiles.</summary>
internal static class TileTokens
{
    /// <summary>Weights that meet all tokens before the next ones do, so that they are read once: they stay in L2.</summary>
    public const int BlockBytes = 192 * 1024;

    /// <summary>The tokens of the next tile: as few tiles as there must be, of nearly as many tokens each.</summary>
    public static int Next(int left, int max) => left / (1 + (left - 1) / max);
}
