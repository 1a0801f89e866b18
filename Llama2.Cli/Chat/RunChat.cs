using Llama2.Cli.Generate;
using Llama2.Cli.Options;
using Llama2.Cli.Terminal;
using Llama2.Simple;
using Llama2.Simple.Generation;
using Llama2.Simple.Text;

namespace Llama2.Cli.Chat;

/// <summary>run.c's chat loop (-m chat), without its limits of 512 bytes: the same prompts, the same draws of the sampler.</summary>
internal sealed class RunChat(Batch batch, Sequence sequence, ITokenizer tokenizer, int steps, CancellationToken cancellation)
{
    /// <summary>Talks until the input ends, the context is full or Ctrl-C.</summary>
    /// <param name="systemPrompt">The system prompt; null to ask for it.</param>
    /// <param name="firstPrompt">The first user prompt; null to ask for it.</param>
    public int Run(string? systemPrompt, string? firstPrompt)
    {
        using LineReader lines = new(Tty.OpenInput(), "-");
        byte[]? system = Bytes(systemPrompt), user = Bytes(firstPrompt); // which need not be UTF-8, as in run.c
        sequence.IsEnd = token => tokenizer.IsEnd(token) && token != tokenizer.Bos; // of llama2.c's tokens EOS alone
        AnswerText text = new();
        system ??= Ask("Enter system prompt (optional): ");
        for (int[] end = []; ; end = [tokenizer.Eos]) // the EOS that ended an answer is fed with the next turn
        {
            user ??= Ask("User: ");
            if (user is null)
            {
                Output.WriteLine();
                return cancellation.IsCancellationRequested ? Interrupt.ExitCode : ExitCode.Success;
            }
            byte[] systemPart = system is null or [] ? [] : [.. "<<SYS>>\n"u8, .. system, .. "\n<</SYS>>\n\n"u8];
            byte[] turn = [.. "[INST] "u8, .. systemPart, .. user, .. " [/INST]"u8];
            text.Write("Assistant: ");
            PromptTokens tokens = PromptTokens.Of(tokenizer, turn, most: steps);
            int room = steps - sequence.Tokens.Length - end.Length;
            Answer([.. end, .. tokens.Ids], text);
            if (tokens.Ids.Length > room)
                Notes.Write(tokens.CutAt(Math.Max(0, room)));
            if (sequence.End == TextEnd.Cancelled)
                return Interrupt.ExitCode;
            if (sequence.End != TextEnd.Model)
            {
                Notes.Write($"the conversation ends here: {Notes.Count(steps, "token")} used up");
                return ExitCode.Success;
            }
            system = user = null;
        }

        byte[]? Ask(string question)
        {
            Output.Write(question);
            try
            {
                return lines.Read(cancellation);
            }
            catch (OperationCanceledException)
            {
                return null;
            }
        }
    }

    private static byte[]? Bytes(string? text) => text is null ? null : ArgumentBytes.Of(text);

    private void Answer(int[] turn, AnswerText answer)
    {
        int fed = Math.Min(turn.Length, steps - sequence.Tokens.Length);
        if (fed == 0)
        {
            sequence.Finish(TextEnd.Length);
            Output.WriteLine();
            return;
        }
        sequence.Append(turn.AsSpan(0, fed));
        sequence.MaxNewTokens = fed < turn.Length ? 0 : steps - sequence.Tokens.Length + 1;
        sequence.Text = new StoppableText(tokenizer, turn[^1], []);
        SkipCoins(fed - 1);
        foreach (string text in batch.Run(sequence, cancellation))
            answer.Write(text);
        Output.WriteLine();
    }

    // run.c samples after each token of the prompt, too
    private void SkipCoins(int count)
    {
        ulong state = sequence.Sampler.RandomState;
        for (int i = 0; i < count && sequence.Sampler.Temperature != 0; i++)
            Sampler.RandomFloat(ref state);
        sequence.Sampler.RandomState = state;
    }
}
