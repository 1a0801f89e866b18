using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using TestResult = FsCheck.TestResult;

namespace Llama2.Tests.Properties;

/// <summary>Tries a property on generated inputs, and where it fails on smaller ones; says how to try the same again.</summary>
internal static class Property
{
    /// <summary>Environment variable with the two numbers of a seed, and perhaps a size, as a failure prints them.</summary>
    public const string ReplayVariable = "LLAMA2_REPLAY";

    /// <summary>Fails the test unless <paramref name="body"/> returns for all inputs; FsCheck's message holds the shrunk input.</summary>
    public static void Holds<T>(Gen<T> inputs, Func<T, IEnumerable<T>> shrink, Action<T> body, int tests = 100)
    {
        FsCheck.Config config = FsCheck.Config.QuickThrowOnFailure.WithMaxTest(tests).WithRunner(new ThrowingRunner()).WithReplay(Replay());
        Check.One(config, Prop.ForAll(Arb.From(inputs, shrink), body));
    }

    private static FSharpOption<Replay> Replay() =>
        Environment.GetEnvironmentVariable(ReplayVariable)?.Split(',') is not [var seed, var gamma, var size]
            ? FSharpOption<Replay>.None
            : new Replay(new Rnd(Number(seed), Number(gamma)), (int)Number(size));

    private static ulong Number(string digits) => ulong.Parse(digits, CultureInfo.InvariantCulture);

    private static readonly JsonSerializerOptions Json = new()
    {
        IncludeFields = true,
        IgnoreReadOnlyProperties = true, // what is derived from the input
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private static string Show(object input) => JsonSerializer.Serialize(input, Json);

    private sealed class ThrowingRunner : IRunner
    {
        public void OnStartFixture(Type t)
        {
        }

        public void OnArguments(int ntest, FSharpList<object> args, FSharpFunc<int, FSharpFunc<FSharpList<object>, string>> every)
        {
        }

        public void OnShrink(FSharpList<object> args, FSharpFunc<FSharpList<object>, string> everyShrink)
        {
        }

        public void OnFinished(string name, TestResult result)
        {
            switch (result)
            {
                case TestResult.Failed failed:
                    string seed = $"{failed.Item6.Seed},{failed.Item6.Gamma},{failed.Item7}";
                    throw new Xunit.Sdk.XunitException(
                        $"fails for {Show(failed.Item3[0])}\n  shrunk {failed.Item1.NumberOfShrinks} times from {Show(failed.Item2[0])}\n"
                        + $"  replay with {ReplayVariable}={seed}\n{failed.Item4}");
                case TestResult.Exhausted exhausted:
                    throw new Xunit.Sdk.XunitException($"too few inputs: {exhausted.Item.NumberOfTests}");
            }
        }
    }
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
