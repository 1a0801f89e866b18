using System.Buffers.Binary;

namespace Llama2.Tests.Cli;

/// <summary>The program on files with a tensor of each of ggml's types: it is read, or refused by its name with what to do.</summary>
public sealed class GgufTypesTests
{
    private const string Read = "f32 f16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_K q3_K q4_K q5_K q6_K iq4_nl iq4_xs bf16";

    /// <summary>The names by their ids, as ggml has them; the last are of ids that it never had.</summary>
    private static readonly string[] Names =
    [
        .. "f32 f16 q4_0 q4_1 q4_2 q4_3 q5_0 q5_1 q8_0 q8_1 q2_K q3_K q4_K q5_K q6_K q8_K iq2_xxs iq2_xs iq3_xxs iq1_s iq4_nl".Split(' '),
        .. "iq3_s iq2_s iq4_xs i8 i16 i32 i64 f64 iq1_m bf16 q4_0_4_4 q4_0_4_8 q4_0_8_8 tq1_0 tq2_0 iq4_nl_4_4 iq4_nl_4_8".Split(' '),
        .. "iq4_nl_8_8 mxfp4 nvfp4 q1_0 q2_0".Split(' '), "ggml type 43", "ggml type 44",
    ];

    public static TheoryData<int, string> Types => [.. Names.Select((name, id) => (id, name))];

    [Theory, MemberData(nameof(Types))]
    public void A_type_is_read_or_refused_by_its_name(int id, string name)
    {
        const int Columns = 256; // whole blocks of any type
        byte[] bytes = [.. SmallGguf.Create(new Config(Columns, 32, 1, 4, 2, 16, 32)), .. new byte[Columns * sizeof(double)]];
        int type = SmallGguf.Counts(bytes).Find(place => place.Name == "output_norm.weight: offset")!.Offset - sizeof(uint);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(type), id);
        using TemporaryFile file = new(bytes);
        BuiltProgram program = BuiltProgram.Run("inspect", file.Path);
        if (Read.Split(' ').Contains(name))
        {
            Assert.Equal((0, ""), (program.ExitCode, program.Err));
            return;
        }
        string line = $"llama2: {file.Path}: output_norm.weight: type: expected one of {string.Join(", ", Read.Split(' '))}; "
            + $"requantise the model, found {name}\n";
        Assert.Equal((2, "", line), (program.ExitCode, program.Out, program.Err));
    }
}
