using System.Text.Encodings.Web;
using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;

namespace Llama2.Tests.Properties;

/// <summary>
/// What a test marked [Property] returns: inputs from a generator of its own, smaller ones where it fails, and in the message an input
/// that ToString does not show. FsCheck's message says how to try the same again, with [Property(Replay = "...")].
/// </summary>
internal static class Property
{
    private static readonly JsonSerializerOptions Json = new()
    {
        IncludeFields = true,
        IgnoreReadOnlyProperties = true, // what is derived from the input
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Holds if <paramref name="body"/> returns for all inputs.</summary>
    public static FsCheck.Property ForAll<T>(Gen<T> inputs, Func<T, IEnumerable<T>> shrink, Action<T> body) =>
        Prop.ForAll(Arb.From(inputs, shrink), input =>
        {
            try
            {
                body(input);
            }
            catch (Exception e)
            {
                throw new Xunit.Sdk.XunitException($"fails for {JsonSerializer.Serialize(input, Json)}: {e}");
            }
        });

    /// <summary>Tries it at once, for what [Property] cannot do: theories, tests that may be skipped, and several in one test.</summary>
    public static void Holds<T>(Gen<T> inputs, Func<T, IEnumerable<T>> shrink, Action<T> body, int tests = 100) =>
        Check.One(FsCheck.Config.QuickThrowOnFailure.WithMaxTest(tests).WithQuietOnSuccess(true), ForAll(inputs, shrink, body));
}

internal static class Shrinking
{
    /// <summary>Numbers from <paramref name="least"/> towards <paramref name="value"/>: the least, half-way, one less.</summary>
    public static IEnumerable<int> Towards(int least, int value) =>
        value <= least ? [] : new[] { least, least + ((value - least) / 2), value - 1 }.Distinct().Where(x => x < value);

    /// <summary>Shorter arrays: either half, or one element less.</summary>
    public static IEnumerable<T[]> Shorter<T>(T[] array)
    {
        if (array.Length > 3)
        {
            yield return array[..(array.Length / 2)];
            yield return array[(array.Length / 2)..];
        }
        for (int i = 0; i < array.Length; i++)
            yield return [.. array[..i], .. array[(i + 1)..]];
    }
}
