using Llama2.Simple;

namespace Llama2.Cli.Commands;

/// <summary>run.c's chat loop (-m chat), without its limits of 512 bytes: the same prompts, the same draws of the sampler.</summary>
internal sealed class RunChat(Session session, Tokenizer tokenizer, int steps, CancellationToken cancellation)
{
    /// <summary>Talks until the input ends, the context is full or Ctrl-C.</summary>
    /// <param name="system">The system prompt, asked for if null.</param>
    /// <param name="user">The first user prompt, asked for if null.</param>
    public int Run(string? system, string? user)
    {
        using StreamReader input = new(Console.OpenStandardInput());
        system ??= Ask("Enter system prompt (optional): ");
        for (List<int> pending = []; ;)
        {
            user ??= Ask("User: ");
            if (user is null)
            {
                Output.WriteLine();
                return cancellation.IsCancellationRequested ? Program.Interrupted : Program.Success;
            }
            string rendered = string.IsNullOrEmpty(system) ? $"[INST] {user} [/INST]" : $"[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]";
            pending.AddRange(tokenizer.Encode(rendered));
            Output.Write("Assistant: ");
            if (!Answer([.. pending]))
            {
                bool interrupted = cancellation.IsCancellationRequested;
                if (!interrupted)
                    Console.Error.WriteLine($"the conversation ends here: {steps} tokens are used up");
                return interrupted ? Program.Interrupted : Program.Success;
            }
            pending = [Tokenizer.Eos]; // said by the model, fed with the next turn
            system = user = null;
        }

        string? Ask(string question)
        {
            Output.Write(question);
            return cancellation.IsCancellationRequested ? null : input.ReadLine();
        }
    }

    /// <summary>Feeds a turn and prints the answer to it; false if it was cut short by the steps or by Ctrl-C.</summary>
    private bool Answer(int[] turn)
    {
        TextStream text = new();
        try
        {
            int fed = Math.Min(turn.Length, steps - session.Tokens.Length);
            session.Feed(turn.AsSpan(0, fed), cancellation);
            session.Sampler.Skip(fed - 1); // run.c samples after each token of the prompt, too
            for (int previous = turn[^1]; fed == turn.Length;)
            {
                int next = session.Sample();
                if (next == Tokenizer.Eos)
                    return true;
                ReadOnlySpan<byte> piece = tokenizer.Decode(previous, next);
                if (TextStream.IsSafe(piece))
                    Output.Write(text.Append(piece));
                if (session.Tokens.Length == steps)
                    break;
                session.Feed([next], cancellation);
                previous = next;
            }
            return false;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
        finally
        {
            Output.WriteLine(text.Flush());
        }
    }
}
