namespace Llama2.Simple.Generation.Speculation;

/// <summary>
/// Verifies as many drafts as make the time per token shortest, by how many were right and by measured times, and none where drafts do not
/// pay. What it tries is paid from an account, so that it never loses more than a few percent: a token's time at the beginning, a small
/// part of all time, and what drafts have saved. The text does not depend on it, only the time.
/// </summary>
/// <param name="clock">Measures the steps.</param>
/// <param name="always">
/// Drafts wherever a drafter has a guess, but for the few steps that it must measure, and chooses only how many.
/// </param>
public sealed class AdaptiveDrafts(TimeProvider clock, bool always = false) : DraftPolicy
{
    private const int PlainSteps = 3;          // measured before anything is drafted
    private const int PlainEvery = 32;         // steps: without drafts, to know what they are measured against
    private const double Allowance = 0.015;    // part of all time that may be lost
    private const double MostSaved = 10;       // plain steps that the account holds; older savings are not lost again
    private const double Worthwhile = 0.03;    // part of a pass that the drafts of a sequence must be expected to save
    private const double PriorRight = 0.75;    // part of drafts that are right, before any is known
    private const double PriorWeight = 2;      // drafts that this counts as
    private const double Memory = 0.98;        // what a verification counts after each step, so that what failed is tried again, rarely
    private const double PriorDraft = 0.35;    // of a plain step: a draft of a drafter that is not ready yet
    private const int ProbeRows = 2;           // to know whether a drafter that is not ready could pay
    private const double CheapProbe = 1.2;     // plain steps that these rows take where it could
    private const int ManyTokens = 96;         // that must still be allowed for it to pay
    private const double Certain = 0.2;        // the mean probability of the sampled tokens from which on it pays
    private const int NoDrafter = -1;

    private readonly StepTimes _times = new();
    private readonly List<Drafter> _drafters = []; // what is known of the sequences' first drafter, second ...
    private double? _account;                      // seconds
    private double _plain;                         // seconds of this step without drafts
    private double _expected;                      // tokens of this step
    private double _drafting;                      // seconds spent on drafts in this step
    private double _predicted;                     // seconds of the forward pass
    private int _sequences, _rows, _sincePlain;
    private bool _measures, _isFirst;
    private long _started;

    private sealed class Drafter
    {
        public double Right, Tried;    // drafts, recent ones more
        public double SecondsPerDraft; // a low one of the last steps
        public bool IsMeasured;
        public double Chance => (Right + PriorRight * PriorWeight) / (Tried + PriorWeight); // that a draft is right

        /// <summary>Tokens of a step with drafts: it ends with the first wrong one.</summary>
        public double Tokens(int drafts) => Chance >= 1 ? drafts + 1 : (1 - Math.Pow(Chance, drafts + 1)) / (1 - Chance);
    }

    protected internal override void Begin(int decoding, int prefilling)
    {
        _sequences = _rows = decoding;
        (_expected, _drafting, _measures) = (decoding, 0, decoding > 0 && prefilling == 0 && decoding <= StepTimes.MaxRows);
        _plain = _measures && _times.Known(decoding) > 0 ? _times.Of(decoding) : 0;
        foreach (Drafter drafter in _drafters)
            (drafter.Right, drafter.Tried) = (drafter.Right * Memory, drafter.Tried * Memory);
    }

    protected override (int Count, int Drafter) Draft(Sequence sequence, Span<int> drafts)
    {
        if (drafts.Length == 0 || !_measures || _times.Known(_sequences) < PlainSteps || _sincePlain >= PlainEvery)
            return (0, NoDrafter);
        for (int i = _drafters.Count; i < sequence.Drafters.Count; i++)
            _drafters.Add(new Drafter { SecondsPerDraft = sequence.Drafters[i].IsReady ? 0 : PriorDraft * _plain });
        if (!always && ShouldProbe(sequence, drafts.Length))
        {
            drafts[..(ProbeRows - 1)].Fill(sequence.Tokens[^1]); // what a row takes does not depend on its token
            _rows += ProbeRows - 1;
            return (ProbeRows - 1, NoDrafter);
        }
        // the most promising drafter that has a guess
        Span<bool> asked = stackalloc bool[_drafters.Count];
        while (Best(sequence, asked, drafts.Length) is (var drafter and >= 0, var count))
        {
            asked[drafter] = true;
            if (Ask(sequence, drafter, drafts[..count]) is var guessed and > 0)
                return (guessed, drafter);
        }
        return (0, NoDrafter);
    }

    // The drafter, not asked yet, and the number of drafts with which a token of this step takes the shortest time.
    private (int Drafter, int Count) Best(Sequence sequence, ReadOnlySpan<bool> asked, int most)
    {
        (int Drafter, int Count) best = (NoDrafter, 0);
        double shortest = always ? double.PositiveInfinity
            : (1 - Worthwhile / _sequences) * (_times.Of(_rows) + _drafting) / _expected;
        for (int i = 0; i < sequence.Drafters.Count; i++)
        {
            if (asked[i] || (!always && !sequence.Drafters[i].IsReady && !IsWorthGettingReady(sequence)))
                continue;
            Drafter drafter = _drafters[i];
            double without = _times.Of(_rows);
            // from few to more, so that what is unknown does not cost much
            int reach = drafter.IsMeasured ? 1 + 2 * Math.Max(0, _times.Largest - _sequences) - (_rows - _sequences) : 1;
            reach = Math.Min(reach, StepTimes.MaxRows - _rows);
            for (int count = 1; count <= Math.Min(most, reach); count++)
            {
                double with = _times.Of(_rows + count) + count * drafter.SecondsPerDraft;
                if (!always && with - without > _account)
                    break; // more than may be lost
                double perToken = (with + _drafting) / (_expected - 1 + drafter.Tokens(count));
                if (perToken < shortest)
                    (shortest, best) = (perToken, (i, count));
            }
        }
        return best;
    }

    private int Ask(Sequence sequence, int index, Span<int> drafts)
    {
        Drafter drafter = _drafters[index];
        bool wasReady = sequence.Drafters[index].IsReady;
        long started = clock.GetTimestamp();
        int count = sequence.Drafters[index].Draft(sequence, drafts);
        double seconds = clock.GetElapsedTime(started).TotalSeconds;
        if (wasReady && count > 0)
        {
            // the first time code is compiled; after that a rise counts slowly, since what else the machine does passes
            double each = seconds / count;
            drafter.SecondsPerDraft = !drafter.IsMeasured || each < drafter.SecondsPerDraft ? each
                : drafter.SecondsPerDraft + (each - drafter.SecondsPerDraft) / 8;
            drafter.IsMeasured = true;
        }
        if (wasReady)
            _drafting += seconds;
        _rows += count;
        _expected += count == 0 ? 0 : drafter.Tokens(count) - 1;
        return count;
    }

    private bool ShouldProbe(Sequence sequence, int most) => _sequences == 1 && most >= ProbeRows - 1
        && _times.Known(ProbeRows) == 0 && CouldPay(sequence) && _times.Of(ProbeRows) - _plain <= _account
        && sequence.Drafters.Any(static drafter => !drafter.IsReady);

    private bool IsWorthGettingReady(Sequence sequence) => _sequences == 1 && CouldPay(sequence)
        && _times.Known(ProbeRows) > 0 && _times.Of(ProbeRows) <= CheapProbe * _plain;

    private static bool CouldPay(Sequence sequence) =>
        sequence.MaxNewTokens - sequence.Sampled >= ManyTokens && sequence.MeanProbability >= Certain;

    protected internal override void BeginForward()
    {
        _isFirst = _measures && _times.Known(_rows) == 0;
        _predicted = _plain > 0 ? _times.Of(_rows) : double.PositiveInfinity;
        _started = clock.GetTimestamp();
    }

    protected internal override void EndForward()
    {
        if (!_measures)
            return;
        double seconds = clock.GetElapsedTime(_started).TotalSeconds;
        _times.Add(_rows, seconds, _predicted);
        bool isPlain = _rows == _sequences;
        _sincePlain = isPlain ? 0 : _sincePlain + 1;
        if (_plain == 0)
            return;
        double account = (_account ?? _plain) + Allowance * seconds;
        if (!isPlain)
            account -= (_isFirst ? Math.Min(seconds, 2 * _predicted) : seconds) + _drafting - _plain;
        _account = Math.Min(account, MostSaved * _plain);
    }

    protected override void Verified(int drafter, bool isRight)
    {
        if (isRight && _measures)
            _account += _plain / _sequences;
        if (drafter == NoDrafter)
            return;
        _drafters[drafter].Right += isRight ? 1 : 0;
        _drafters[drafter].Tried++;
    }
}
