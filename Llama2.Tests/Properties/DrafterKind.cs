namespace Llama2.Tests.Properties;

/// <summary>Kinds of drafters. Those that are right or wrong know the text.</summary>
public enum DrafterKind
{
    Lookup,
    Self,   // another model of the same shape, or the same one: on the same cache, with the same coins
    Random, // sometimes right; leaves rows in the cache and draws coins, which it may
    Wrong,
    Right,
}
