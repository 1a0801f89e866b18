using System.Text.Json;
using static Llama2.Tests.Cli.BuiltProgram;

namespace Llama2.Tests.Cli;

/// <summary>The bytes of a prompt, wherever it comes from, are the tokens that run.c would have.</summary>
public sealed class PromptBytesTests : FolderTests
{
    [Fact]
    public void A_prompt_file_s_bytes_are_tokens_as_tokenize_has_them()
    {
        foreach (byte[] bytes in (byte[][])[[0xFF, 0xC3], [0xEF, 0xBB, 0xBF, .. "Tom"u8],
            [.. "Tom "u8, 0xC3, (byte)'\n'], "Tom\n\n"u8.ToArray()])
        {
            File.WriteAllBytes(At("prompt"), bytes);
            string ids = Shell($"\"$@\" tokenize - < '{At("prompt")}'").Trim();
            string json = Text("--prompt-file", At("prompt"), "-n", "0", "-t", "0", "--json");
            Assert.Equal(ids.Split(' ').Length, JsonDocument.Parse(json).RootElement.GetProperty("prompt_tokens").GetInt32());
            Text("--prompt-file", At("prompt"), "-n", "100", "-t", "0", "--save-session", At("session"));
            byte[] session = File.ReadAllBytes(At("session"));
            Assert.Equal(ids, string.Join(' ', ids.Split(' ').Select((_, i) => BitConverter.ToInt32(session, 104 + 4 * i))));
        }
        Assert.Equal("1 401 287 456 471 263 305 354 482\n", Shell("printf 'Hello, world!\\n' | \"$@\" tokenize -"));
        Assert.Equal("452 258 198\n", Shell("printf '\\377\\303' | \"$@\" tokenize - --no-bos")); // a blank and two bytes
    }

    [Theory]
    [InlineData("-i ", @"caf\351 \377\303")]
    [InlineData("-i=", @"\303")]
    [InlineData("-topp 0.9 --prompt=", @"a\355\240\200b=c")]
    [InlineData("-n 5 --prompt ", @"\ufffd and \342\202")]
    public void An_argument_s_bytes_are_tokens_as_those_of_a_file(string option, string bytes)
    {
        const string Same = "-t 0 -n 60 --json --silent";
        string ids = Shell($"printf '{bytes}' | \"$@\" tokenize -");
        Assert.Equal(ids, Shell($"\"$@\" tokenize $'{bytes}'"));
        Assert.Equal(Shell($"printf '{bytes}' | \"$@\" --prompt-file - {Same}"), Shell($"\"$@\" {option}$'{bytes}' {Same}"));
        string chat = Shell($"\"$@\" -m chat -y $'{bytes}' -i $'{bytes}' -t 0 -n 100 --logits '{At("given")}' 2>&1");
        string turn = $"[INST] <<SYS>>\\n{bytes}\\n<</SYS>>\\n\\n{bytes} [/INST]";
        Shell($"printf '{turn}' | \"$@\" --prompt-file - -t 0 -n 100 --logits '{At("file")}' 2>&1");
        int compared = 4 * 512 * (ids.Split(' ').Length + 20);
        Assert.Equal(File.ReadAllBytes(At("file"))[..compared], File.ReadAllBytes(At("given"))[..compared]);
        Assert.StartsWith("tales659K", chat, StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_typed_to_run_c_s_chat_are_tokens_as_tokenize_has_them()
    {
        Shell($"printf '\\377 Tom \\303\\n' | \"$@\" -m chat -y '' -t 0 -n 40 --logits '{At("logits")}' --silent >/dev/null 2>&1");
        const string Typed = "printf '[INST] \\377 Tom \\303 [/INST]' | \"$@\"";
        Assert.Contains(" 258 ", Shell($"{Typed} tokenize -"), StringComparison.Ordinal); // the byte 0xFF
        Shell($"{Typed} --prompt-file - -t 0 -n 40 --logits '{At("alone")}' --silent >/dev/null 2>&1");
        byte[] chat = File.ReadAllBytes(At("logits")), alone = File.ReadAllBytes(At("alone"));
        Assert.Equal(alone[..(4 * 512 * 20)], chat[..(4 * 512 * 20)]);
    }

    [Fact]
    public void A_batch_line_that_is_not_UTF_8_is_refused_and_not_changed()
    {
        byte[] good = "{\"prompt\": \"T\u00fcm \ud83d\ude42\"}"u8.ToArray();
        File.WriteAllBytes(At("batch"), [0xEF, 0xBB, 0xBF, .. good, .. "\r\n{\"prompt\": \"a"u8, 0xFF, .. "b\"}\n"u8,
            .. "{\"prompt\": \"\\ud800\"}\n\n{\"prompt\": \""u8, 0xC3, .. "\"}\n"u8, .. good]);
        BuiltProgram run = BuiltProgram.Run("--batch", At("batch"), "-n", "30", "-t", "0", "--silent");
        Assert.Equal(2, run.ExitCode);
        string[] errors = run.Err.TrimEnd('\n').Split('\n');
        Assert.Equal($"llama2: {At("batch")}: line 2: no JSON, which is UTF-8", errors[0]);
        Assert.StartsWith($"llama2: {At("batch")}: line 3: no JSON", errors[1], StringComparison.Ordinal);
        Assert.Equal($"llama2: {At("batch")}: line 5: no JSON, which is UTF-8", errors[2]);
        string[] texts = [.. run.Out.TrimEnd('\n').Split('\n')
            .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!)];
        File.WriteAllText(At("prompt"), "T\u00fcm \ud83d\ude42");
        string alone = Text("--prompt-file", At("prompt"), "-n", "30", "-t", "0").TrimEnd('\n');
        Assert.Equal([alone, alone], texts);
    }

    [Fact]
    public void Detokenize_reads_what_tokenize_prints()
    {
        File.WriteAllBytes(At("text"), [.. "Ü, no UTF-8: "u8, 0xFF, 0xC3, .. " and\tthe end\n"u8]);
        foreach (string reads in (string[])["detokenize", "detokenize -"])
        {
            Shell($"\"$@\" tokenize - < '{At("text")}' | \"$@\" {reads} > '{At("again")}'");
            Assert.Equal(File.ReadAllBytes(At("text")), File.ReadAllBytes(At("again")));
        }
        Assert.Equal("Hello\n", Shell("\"$@\" tokenize --no-bos Hello | \"$@\" detokenize").TrimStart());
        Assert.Contains("x is no token id", Error(1, "detokenize", "1", "x"), StringComparison.Ordinal);
    }
}
