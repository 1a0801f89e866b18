using System.Text.Json.Nodes;
using Llama2.Cli.Bench;

namespace Llama2.Tests.Bench;

public sealed class ReportTests
{
    [Fact]
    public void What_is_written_is_read_again()
    {
        string json = Reports.Full.ToJson();
        BenchReport read = Read(json);
        Assert.Equal(json, read.ToJson());
        Assert.Equal([1490, 1500, 1510], read.Rows[2].Samples);
        Assert.Equal(new RowKey(Reports.Model, "fast", "float32", null, 2, Phase.Decode), read.Rows[2].Key);
    }

    [Theory]
    [InlineData("", "no report")]
    [InlineData("[1, 2]", "no report")]
    [InlineData("{}", "no field schema")]
    [InlineData("{\"schema\": 99}", "expected schema 1, found 99")]
    [InlineData("{\"schema\": 1}", "no report")]
    [InlineData("{\"schema\": \"1\"}", "no report")]
    public void Something_else_is_refused_in_one_line_that_names_the_file(string text, string why)
    {
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => Read(text));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Contains(Path.GetTempPath(), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_report_without_one_of_its_fields_is_refused()
    {
        JsonObject json = JsonNode.Parse(Reports.Full.ToJson())!.AsObject();
        foreach (string field in json.Select(property => property.Key).ToArray())
        {
            JsonObject lacking = json.DeepClone().AsObject();
            lacking.Remove(field);
            Assert.Throws<InvalidDataException>(() => Read(lacking.ToJsonString()));
        }
    }

    [Fact]
    public void A_file_that_is_not_there_is_refused() =>
        Assert.Throws<InvalidDataException>(() => BenchReport.Read(Path.Combine(Path.GetTempPath(), Path.GetRandomFileName())));

    private static BenchReport Read(string json)
    {
        using TemporaryFile file = new(System.Text.Encoding.UTF8.GetBytes(json));
        return BenchReport.Read(file.Path);
    }
}
