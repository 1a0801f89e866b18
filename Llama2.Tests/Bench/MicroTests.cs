using BenchmarkDotNet.Parameters;
using BenchmarkDotNet.Running;
using Llama2.Cli.Bench.Micro;

namespace Llama2.Tests.Bench;

public sealed class MicroTests
{
    [Theory]
    [InlineData(nameof(MatMul))]
    [InlineData(nameof(Layer))]
    [InlineData(nameof(Text))]
    public void Every_operation_runs_with_all_its_parameters(string name)
    {
        Type type = typeof(MatMul).Assembly.GetType($"{typeof(MatMul).Namespace}.{name}")!;
        BenchmarkCase[] cases = BenchmarkConverter.TypeToBenchmarks(type).BenchmarksCases;
        Assert.NotEmpty(cases);
        foreach (BenchmarkCase benchmark in cases)
        {
            object instance = Activator.CreateInstance(type)!;
            foreach (ParameterInstance parameter in benchmark.Parameters.Items)
                type.GetProperty(parameter.Name)!.SetValue(instance, parameter.Value);
            benchmark.Descriptor.WorkloadMethod.Invoke(instance, null);
        }
    }
}
