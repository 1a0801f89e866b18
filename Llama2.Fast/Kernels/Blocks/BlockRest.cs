namespace Llama2.Fast.Kernels;

/// <summary>
/// A row's last blocks, filled up to a unit with zeros, as the activations are. That leaves all lanes as they are, since none is ever
/// -0: an integer times a scale does not vanish.
/// </summary>
internal static unsafe class BlockRest<TBlocks> where TBlocks : struct, IBlocks
{
    public static void Copy(byte* w, int weights, byte* unit)
    {
        new Span<byte>(unit, TBlocks.UnitBytes).Clear();
        int bytes = weights / BlockUnit.GroupSize * (TBlocks.UnitBytes / BlockUnit.Groups);
        new Span<byte>(w, bytes).CopyTo(new Span<byte>(unit, bytes));
    }
}
