using System.Runtime.Intrinsics.X86;
using Llama2.Cli.Commands;

namespace Llama2.Tests.Cli;

/// <summary>
/// The promise that the same weights give the same bits: kernels, threads and batches by <c>llama2 verify</c>, instruction sets by
/// switching them off.
/// </summary>
public sealed class VerifyTests
{
    [Theory]
    [InlineData(null)]
    [InlineData("DOTNET_EnableAVX512")]
    [InlineData("DOTNET_EnableAVX2")]
    [InlineData("DOTNET_EnableHWIntrinsic")]
    public void The_default_model_gives_its_constant_with_less_and_less_of_the_machine(string? without)
    {
        BuiltProgram.Setup setup = new();
        if (without is not null)
            setup.Environment[without] = "0";
        BuiltProgram program = BuiltProgram.Run(setup, "verify");
        Assert.Equal(0, program.ExitCode);
        string[] ways = [.. program.Out.Split('\n').Where(line => line.StartsWith("  ", StringComparison.Ordinal))];
        int half = ways.Length / 2;
        Assert.NotEqual(0, half);
        Assert.All(ways[..half], way => Assert.EndsWith("  " + VerifyCommand.DefaultModel, way, StringComparison.Ordinal));
        Assert.All(ways[half..], way => Assert.EndsWith("  " + VerifyCommand.DefaultModelInt8, way, StringComparison.Ordinal));
        Assert.Contains(ways, way => way.StartsWith("  scalar ", StringComparison.Ordinal));
        Assert.Equal(without is null && Avx512F.IsSupported, ways[0].StartsWith("  avx512", StringComparison.Ordinal));
        Assert.Equal(without != "DOTNET_EnableHWIntrinsic", program.Out.Contains("\n  128 ", StringComparison.Ordinal));
    }

    [Fact]
    public void A_kernel_can_be_forced_and_an_unknown_one_is_bad_usage()
    {
        BuiltProgram.Setup setup = new();
        setup.Environment["LLAMA2_KERNEL"] = "128";
        BuiltProgram forced = BuiltProgram.Run(setup, "-t", "0", "-n", "50"), free =
            BuiltProgram.Run(new BuiltProgram.Setup(), "-t", "0", "-n", "50");
        Assert.Equal(0, forced.ExitCode);
        Assert.Equal(free.Out, forced.Out);

        setup.Environment["LLAMA2_KERNEL"] = "abacus";
        BuiltProgram unknown = BuiltProgram.Run(setup, "-t", "0");
        Assert.Equal(1, unknown.ExitCode);
        Assert.Contains("abacus", unknown.Err, StringComparison.Ordinal);
    }
}
