using System.Text.Json.Nodes;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class ReportTests
{
    [Fact]
    public void The_median_is_the_middle()
    {
        Assert.Equal(3, Of(5, 1, 3).Median);
        Assert.Equal(2.5, Of(4, 1, 3, 2).Median);
        Assert.Equal(7, Of(7).Median);
        Assert.Equal(double.NaN, Of().Median);
    }

    [Fact]
    public void The_spread_is_from_worst_to_best()
    {
        Assert.Equal(0.3, Of(100, 110, 80).Spread, 12);
        Assert.Equal(0, Of(100).Spread);
        Assert.Equal(double.NaN, Of().Spread);
    }

    [Fact]
    public void What_is_written_is_read_again()
    {
        string json = Reports.Full.ToJson();
        BenchReport read = Read(json);
        Assert.Equal(json, read.ToJson());
        Assert.Equal([1490, 1500, 1510], read.Rows[2].Samples);
        Assert.Equal(Reports.Full.Rows[2].Key, read.Rows[2].Key);
    }

    [Theory]
    [InlineData("", "not a report")]
    [InlineData("[1, 2]", "not a report")]
    [InlineData("{}", "no field schema")]
    [InlineData("{\"schema\": 1}", "expected schema 2, found 1")]
    [InlineData("{\"schema\": 2}", "not a report")]
    [InlineData("{\"schema\": \"2\"}", "not a report")]
    [InlineData("{\"schema\": 2.5}", "not a report")]
    public void Something_else_is_refused_in_a_message_that_names_the_file(string text, string why)
    {
        IOException error = Assert.Throws<IOException>(() => Read(text));
        Assert.Contains(why, error.Message);
        Assert.StartsWith(Path.GetTempPath(), error.Message);
    }

    [Fact]
    public void A_report_without_one_of_its_fields_is_refused()
    {
        JsonObject json = JsonNode.Parse(Reports.Full.ToJson())!.AsObject();
        foreach (string field in json.Select(property => property.Key).ToArray())
        {
            JsonObject lacking = json.DeepClone().AsObject();
            lacking.Remove(field);
            Assert.Throws<IOException>(() => Read(lacking.ToJsonString()));
        }
    }

    [Fact]
    public void A_file_that_is_not_there_is_refused() =>
        Assert.Throws<ModelFileException>(() => BenchReport.Read(Path.Combine(Path.GetTempPath(), Path.GetRandomFileName())));

    private static BenchRow Of(params double[] samples) => Reports.Row("fast", 1, Phase.Decode, samples);

    private static BenchReport Read(string json)
    {
        using TemporaryFile file = new(System.Text.Encoding.UTF8.GetBytes(json));
        return BenchReport.Read(file.Path);
    }
}
