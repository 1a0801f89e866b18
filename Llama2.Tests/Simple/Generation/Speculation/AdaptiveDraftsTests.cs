using Llama2.Simple.Generation.Speculation;
using Llama2.Tests.Shared;

namespace Llama2.Tests.Simple.Generation.Speculation;

/// <summary>How many tokens are drafted, on a clock that moves as the test says: it never loses much, and wins where it can.</summary>
public sealed class AdaptiveDraftsTests
{
    private const int Vocab = 8;
    private const int Token = 2; // that the model always says

    /// <summary>A clock, and how long forward passes and drafts take on it: in units of a pass of one row.</summary>
    private sealed class Machine : TimeProvider
    {
        private long _now;

        public Func<int, double> Pass { get; init; } = static _ => 1;
        public double Draft { get; init; }
        public double DraftOfMore { get; init; } // of the time of a draft, what one for one more text adds
        public double GettingReady { get; init; }
        public Func<int, double> Right { get; init; } = static _ => 1; // chance that the draft for a position is right
        public double Noise { get; init; }                             // chance that a pass takes three times as long
        public bool IsUncertain { get; init; }                         // whether all tokens are sampled alike
        public Random Random { get; } = new(7);

        public override long GetTimestamp() => _now;
        public override long TimestampFrequency => 1_000_000_000;
        public double Now => _now / 20e6; // in passes of 20 ms
        public void Spend(double passes) => _now += (long)(20e6 * passes);
    }

    private sealed class TimedModel(Machine machine, int seqLen) : ITransformer
    {
        private readonly FakeModel _model = new(
            Vocab, _ => [.. new float[Token], machine.IsUncertain ? 0 : 50, .. new float[Vocab - Token - 1]], seqLen);

        public List<int> Calls => _model.Calls;
        public Config Config => _model.Config;
        public int PreferredRows => _model.PreferredRows;

        public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
        {
            machine.Spend(machine.Pass(rows.Length) * (machine.Random.NextDouble() < machine.Noise ? 3 : 1));
            _model.Forward(rows, output);
        }

        public void Dispose()
        {
        }
    }

    private sealed class TimedDrafter(Machine machine, bool hasGuesses = true) : IDrafter
    {
        public bool IsReady { get; private set; } = machine.GettingReady == 0;

        public void Draft(ReadOnlySpan<Drafts> asked)
        {
            machine.Spend(IsReady ? 0 : machine.GettingReady);
            IsReady = true;
            int most = 0;
            foreach (Drafts text in asked)
            {
                while (hasGuesses && text.Count < text.Wanted)
                    text.Add(machine.Random.NextDouble() < machine.Right(text.Sequence.Tokens.Length + text.Count) ? Token : 1);
                most = Math.Max(most, text.Count);
            }
            machine.Spend(most * machine.Draft * (1 + machine.DraftOfMore * (asked.Length - 1)));
        }
    }

    /// <summary>The time of a text in passes of one row, its policy and the rows of each pass.</summary>
    private static (double Time, DraftPolicy Policy, List<int> Calls) Run(
        Machine machine, int tokens, bool always = false, int sequences = 1, bool shared = false, int guessless = 0)
    {
        TimedDrafter one = new(machine);
        AdaptiveDrafts policy = new(machine, always);
        TimedModel model = new(machine, tokens + 1);
        Batch batch = new(model, policy);
        Sequence[] all = [.. Enumerable.Range(0, sequences).Select(i =>
            new Sequence(model.Config, new Sampler(Vocab, 1, 0, 1))
            {
                Drafters = [shared ? one : new TimedDrafter(machine, i >= guessless)],
                MaxNewTokens = tokens,
            })];
        foreach (Sequence sequence in all)
        {
            sequence.Append([0]);
            batch.Add(sequence);
        }
        while (batch.Count > 0)
            batch.Step();
        Assert.All(all, sequence => Assert.Equal(tokens, sequence.Sampled));
        return (machine.Now, policy, model.Calls);
    }

    public static TheoryData<int, double, double, double> Machines
    {
        get
        {
            TheoryData<int, double, double, double> machines = [];
            foreach (int tokens in (int[])[256, 1000])
            {
                foreach (double row in (double[])[0, 0.01, 0.1, 0.5, 1])
                {
                    foreach (double draft in (double[])[0, 0.3, 2])
                    {
                        foreach (double right in (double[])[0, 0.3, 0.6, 1])
                            machines.Add(tokens, row, draft, right);
                    }
                }
            }
            return machines;
        }
    }

    [Theory, MemberData(nameof(Machines))]
    public void It_never_takes_more_than_three_percent_longer(int tokens, double row, double draft, double right)
    {
        Machine machine = new() { Pass = rows => 1 + row * (rows - 1), Draft = draft, Right = _ => right };
        Assert.InRange(Run(machine, tokens).Time, 0, 1.03 * tokens);
    }

    [Theory]
    [InlineData(0.02, 0, 1, 6)]      // a text that repeats itself
    [InlineData(0.02, 0.3, 0.95, 1.7)] // an int8 copy, where rows of a pass cost next to nothing
    [InlineData(0.02, 0.3, 0.8, 1.35)]
    [InlineData(0.35, 0, 1, 1.7)]    // rows that cost much
    [InlineData(0.02, 0, 0.3, 1.25)] // drafts that cost nothing need not be right often
    public void Where_drafts_pay_it_takes_them(double row, double draft, double right, double gain)
    {
        Machine machine = new() { Pass = rows => 1 + row * (rows - 1), Draft = draft, Right = _ => right };
        (double time, DraftPolicy policy, _) = Run(machine, 256);
        Assert.InRange(256 / time, gain, 20);
        Assert.InRange(policy.TokensPerStep, gain, 20);
    }

    [Fact]
    public void What_takes_less_than_a_second_is_not_drafted_since_the_code_that_drafts_must_be_compiled()
    {
        Assert.Equal(0, Run(new Machine(), 40).Policy.Drafted);
        Assert.InRange(Run(new Machine(), 60).Policy.Drafted, 1, 60);
    }

    [Fact]
    public void Where_they_do_not_pay_it_stops_and_tries_again_rarely()
    {
        Machine machine = new() { Pass = rows => 0.5 + 0.5 * rows, Draft = 0.5, Right = _ => 0 };
        (_, DraftPolicy policy, List<int> calls) = Run(machine, 2000);
        Assert.InRange(policy.Drafted, 3, 60);
        Assert.InRange(calls[1000..].Count(rows => rows > 1), 1, 20);
        Assert.Equal(0, policy.Accepted);
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.02)]
    public void It_notices_when_drafts_begin_to_be_right_and_when_they_stop(double row)
    {
        static double Right(int position) => position is > 600 and < 1200 ? 1 : 0;
        Machine machine = new() { Pass = rows => 1 + row * (rows - 1), Draft = 0.05, Right = Right };
        (double time, DraftPolicy policy, List<int> calls) = Run(machine, 1800);
        Assert.InRange(policy.Accepted, 200, 600);
        Assert.InRange(time, 0, 1800 - (policy.Accepted / 4));
        Assert.InRange(calls[^300..].Count(rows => rows > 1), 0, row < 0.1 ? 300 : 20);
    }

    [Fact]
    public void What_else_the_machine_does_does_not_make_it_lose()
    {
        Machine machine = new() { Pass = rows => 1 + 0.3 * (rows - 1), Draft = 0.3, Right = _ => 0.5, Noise = 0.1 };
        double plain = 0;
        Machine without = new() { Pass = _ => 1, Noise = 0.1 };
        TimedModel model = new(without, 1001);
        Sequence sequence = new(model.Config, new Sampler(Vocab, 0, 0, 1)) { MaxNewTokens = 1000 };
        sequence.Append([0]);
        foreach (string _ in new Batch(model).Run(sequence))
            plain = without.Now;
        Assert.InRange(Run(machine, 1000).Time, 0, 1.05 * plain); // chance makes a difference of 2 % between two runs
    }

    [Theory]
    [InlineData(0.05, 300, false, true)]  // rows next to free, and a long text
    [InlineData(0.05, 60, false, false)]  // a text too short to pay for a copy
    [InlineData(0.8, 300, false, false)]  // rows that cost as much as passes
    [InlineData(0.05, 300, true, false)]  // a text that nobody could guess
    public void A_drafter_that_must_get_ready_does_so_only_where_it_can_pay(double row, int tokens, bool isUncertain, bool getsReady)
    {
        Machine machine = new()
        {
            Pass = rows => 1 + row * (rows - 1),
            Draft = 0.3,
            Right = _ => 0.9,
            GettingReady = 10,
            IsUncertain = isUncertain,
        };
        (double time, DraftPolicy policy, List<int> calls) = Run(machine, tokens);
        Assert.All(calls[..4], rows => Assert.Equal(1, rows)); // the first tokens come without delay
        Assert.Equal(getsReady, policy.Drafted > 20); // to know what rows cost takes some, too
        Assert.InRange(time, 0, getsReady ? 0.75 * tokens : 1.03 * tokens);
    }

    [Fact]
    public void Always_drafts_even_at_a_loss_and_learns_how_many()
    {
        Machine machine = new() { Pass = rows => 1 + rows, Draft = 1, Right = _ => 0.2 };
        (_, _, List<int> calls) = Run(machine, 300, always: true);
        Assert.InRange(calls.Count(rows => rows > 1), 0.9 * calls.Count, calls.Count);
        Assert.Equal(2, calls[^2]);
        machine = new() { Pass = rows => 1 + 0.01 * rows, Right = _ => 1 };
        (_, DraftPolicy policy, _) = Run(machine, 600, always: true);
        Assert.InRange(policy.TokensPerStep, 8, 17);
    }

    [Fact]
    public void Sequences_of_a_batch_share_what_a_pass_takes()
    {
        // up to eight rows are free: one sequence has use for seven drafts, eight sequences for none
        static double Pass(int rows) => Math.Max(1, rows / 8.0);
        (double alone, DraftPolicy policy, _) = Run(new Machine { Pass = Pass, Right = _ => 0.9 }, 256);
        Assert.InRange(256 / alone, 3, 8);
        Machine busy = new() { Pass = Pass, Right = _ => 0.3, Draft = 0.1 };
        (double together, DraftPolicy of8, List<int> calls) = Run(busy, 256, sequences: 8);
        Assert.InRange(together, 0, 1.03 * 256);
        Assert.InRange(calls.Count(rows => rows > 8), 0, 20);
        (double four, DraftPolicy of4, _) = Run(new Machine { Pass = Pass, Right = _ => 0.9 }, 256, sequences: 4);
        Assert.InRange(256 / four, 1.5, 2.1);
        Assert.True(policy.TokensPerStep > of4.TokensPerStep && of4.TokensPerStep > of8.TokensPerStep);
    }

    [Theory]
    [InlineData(2, 1.5)] // 3 drafts a pass of one draft's time: 2 * 4 tokens in 1.1 + 3 * 0.3
    [InlineData(4, 1.2)]
    public void Texts_that_share_a_drafter_are_drafted_together_where_one_by_one_would_not_pay(int sequences, double gain)
    {
        Machine machine = new() { Pass = rows => 1 + 0.05 * (rows - 1), Draft = 0.3, DraftOfMore = 0.1, Right = _ => 0.9 };
        (double together, DraftPolicy policy, _) = Run(machine, 256, sequences: sequences, shared: true);
        Assert.InRange((1 + 0.05 * (sequences - 1)) * 256 / together, gain, 20);
        Assert.InRange(policy.TokensPerStep, gain, 20);
        machine = new() { Pass = machine.Pass, Draft = 0.3, Right = _ => 0.9 };
        Assert.True(Run(machine, 256, sequences: sequences).Time > 1.1 * together);
    }

    public static TheoryData<int, double, double, double> BusyMachines
    {
        get
        {
            TheoryData<int, double, double, double> machines = [];
            foreach (int sequences in (int[])[2, 4, 8])
            {
                foreach (double row in (double[])[0, 0.02, 0.1, 0.5])
                {
                    foreach (double draft in (double[])[0.05, 0.3, 1])
                    {
                        foreach (double right in (double[])[0, 0.5, 0.95])
                            machines.Add(sequences, row, draft, right);
                    }
                }
            }
            return machines;
        }
    }

    [Theory, MemberData(nameof(BusyMachines))]
    public void Together_they_never_take_more_than_three_percent_longer(int sequences, double row, double draft, double right)
    {
        Machine machine = new() { Pass = rows => 1 + row * (rows - 1), Draft = draft, DraftOfMore = 0.2, Right = _ => right };
        Assert.InRange(Run(machine, 256, sequences: sequences, shared: true).Time, 0, 1.03 * 256 * machine.Pass(sequences));
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 1)]
    [InlineData(4, 2)]
    [InlineData(8, 4)]
    public void Texts_without_drafts_are_not_kept_waiting_for_those_with_drafts(int sequences, int guessless)
    {
        Machine machine = new() { Pass = rows => 1 + 0.01 * (rows - 1) + (rows > sequences ? 0.3 : 0), Right = _ => 0.9 };
        (double time, DraftPolicy policy, _) = Run(machine, 256, sequences: sequences, guessless: guessless);
        Assert.InRange(time, 0, 1.03 * 256 * machine.Pass(sequences));
        Assert.InRange(policy.Drafted, 1, 256);
    }

    [Fact]
    public void Many_sequences_share_as_many_rows_as_are_measured()
    {
        (_, DraftPolicy policy, List<int> calls) = Run(new Machine { Right = _ => 1 }, 100, sequences: 40);
        Assert.InRange(calls.Max(), 200, 256);
        Assert.InRange(policy.TokensPerStep, 2, 7);
    }
}
