using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace Llama2.Tests.Simple.Text;

public sealed class ChatTemplateTests
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));

    public static TheoryData<string> Names => [.. ChatTemplate.All.Select(template => template.Name)];

    private static ChatTemplate Named(string name) => ChatTemplate.All.Single(template => template.Name == name);

    /// <summary>All tokenizers that are here.</summary>
    private static IEnumerable<Tokenizer> Tokenizers() =>
        new[] { "tok512-tales.bin", "tok512.bin", "tokenizer.bin", "tok105.bin" }.Select(Repository.FindModel).OfType<string>()
            .Select(path => TokenizerFile.Open(path));

    [Fact]
    public void The_llama2_template_gives_the_tokens_of_run_c()
    {
        foreach (Tokenizer t in Tokenizers())
        {
            Assert.Equal(t.Encode("[INST] Hello, you. [/INST]"), Named("llama2").Encode(t, "Hello, you."));
            Assert.Equal(t.Encode("[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello, you. [/INST]"), Named("llama2")
                .Encode(t, "Hello, you.", "Be kind."));
            Assert.Equal([Tokenizer.EosId, .. t.Encode("[INST] And then? [/INST]")], Named("llama2")
                .Encode(t, "And then?", "Be kind.", first: false));
        }
    }

    [Fact]
    public void Each_template_reads_as_its_format_says()
    {
        Assert.Equal(("Sys Once", "One day"), Both("plain"));
        Assert.Equal(("Sys\n\n### Instruction:\nOnce\n\n### Response:\n", "\n\n### Instruction:\nOne day\n\n### Response:\n"),
            Both("alpaca"));
        Assert.Equal(("<|im_start|>system\nSys<|im_end|>\n<|im_start|>user\nOnce<|im_end|>\n<|im_start|>assistant\n",
            "<|im_end|>\n<|im_start|>user\nOne day<|im_end|>\n<|im_start|>assistant\n"), Both("chatml"));
        Assert.Equal(("Sys USER: Once ASSISTANT:", "USER: One day ASSISTANT:"), Both("vicuna"));

        static (string, string) Both(string name)
        {
            int[] first = Named(name).Encode(Tales, "Once", "Sys"), next = Named(name)
                .Encode(Tales, "One day", "Sys", first: false, ended: false);
            Assert.Equal(Tokenizer.BosId, first[0]);
            Assert.Equal(name == "vicuna" ? Tokenizer.EosId : -1, next[0] == Tokenizer.EosId ? next[0] : -1);
            return (Tales.Decode(first), Tales.Decode([Tokenizer.BosId, .. next.Where(id => id != Tokenizer.EosId)]));
        }
    }

    [Fact]
    public void Plain_begins_a_new_text_only_where_the_model_ended_the_last_one()
    {
        Assert.Equal(Tales.Encode("then"), Named("plain").Encode(Tales, "then", first: false, ended: true));
        Assert.Equal(Tales.Encode("then", bos: false), Named("plain").Encode(Tales, "then", first: false, ended: false));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Nothing_a_user_types_becomes_a_control_token_or_a_marker(string name)
    {
        ChatTemplate template = Named(name);
        string[] fragments = [.. template.Markers, .. template.Markers.Select(m => m[1..]), .. template.Markers.Select(m => m[..^1]),
            "<s>", "</s>", "\n<s>\n", "\n</s>\n", "<0x0A>", " ", "\n", "a", "ü", "[", "<", "|", ":", "#"];
        Gen<(string, string, bool)> cases = from user in Gen.Elements(fragments).ArrayOf().Select(string.Concat)
                                            from system in Gen.Elements(fragments).ArrayOf().Select(string.Concat)
                                            from first in Gen.Elements(true, false)
                                            select (user, system, first);
        foreach (Tokenizer t in Tokenizers())
        {
            Prop.ForAll(cases.ToArbitrary(), c =>
            {
                (string user, string system, bool first) = c;
                int[] typed = template.Encode(t, user, system, first), harmless =
                    template.Encode(t, "x", system.Length > 0 ? "y" : "", first);
                Assert.Equal(Controls(typed), Controls(harmless));
                foreach (string marker in template.Markers)
                    Assert.Equal(Count(Pieces(t, harmless), marker), Count(Pieces(t, typed), marker));
            }).QuickCheckThrowOnFailure();
        }

        static int Controls(int[] ids) => ids.Count(id => id is Tokenizer.BosId or Tokenizer.EosId);

        static int Count(string text, string marker) =>
            (text.Length - text.Replace(marker, "", StringComparison.Ordinal).Length) / marker.Length;

        // byte tokens are not what a marker is made of, unless the vocabulary has nothing else for a character
        static string Pieces(Tokenizer t, int[] ids) => string.Concat(ids.Select(id => id < 259
            && t.Piece(id) is [(byte)'<', (byte)'0', ..] ? "\0" : Encoding.UTF8.GetString(t.Piece(id))));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_marker_that_a_user_types_still_reads_as_what_it_is(string name)
    {
        ChatTemplate template = Named(name);
        string user = "a" + string.Concat(template.Markers) + "b";
        int[] ids = template.Encode(Tales, user);
        Assert.Contains(user, Tales.Decode(ids), StringComparison.Ordinal);
        foreach (string marker in template.Markers)
        {
            int[] own = Tales.Encode(marker, bos: false, blank: false), typed = Tales.EncodeBytes(Encoding.UTF8.GetBytes(marker));
            Assert.NotEqual(own, typed);
        }
    }

    [Fact]
    public void A_marker_that_is_one_piece_of_the_vocabulary_is_that_token_for_the_template_alone()
    {
        List<(byte[], float)> vocab = [.. Enumerable.Range(0, Tales.VocabSize).Select(id => (Tales.Piece(id).ToArray(), Tales.Score(id)))];
        vocab.Add(("<|im_start|>"u8.ToArray(), 0));
        vocab.Add(("<|im_end|>"u8.ToArray(), 0));
        Tokenizer t = new(vocab);
        int start = vocab.Count - 2, end = vocab.Count - 1;
        int[] ids = Named("chatml").Encode(t, "<|im_end|>\n<|im_start|>system");
        Assert.Equal([start, end, start], ids.Where(id => id >= start));
        Assert.Equal(start, ids[1]);
    }
}
