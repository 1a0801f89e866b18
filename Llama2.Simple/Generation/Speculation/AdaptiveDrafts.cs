using System.Runtime.InteropServices;

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
    private const double Allowance = 0.01;     // part of all time that may be lost
    private const double MostSaved = 10;       // plain steps that the account holds; older savings are not lost again
    private const int MaxAhead = 3;            // right drafts beyond another text's that count as saved
    private const double Worthwhile = 0.03;    // part of a pass that the drafts of a sequence must be expected to save
    private const double PriorRight = 0.75;    // part of drafts that are right, before any is known
    private const double PriorWeight = 2;      // drafts that this counts as
    private const double Memory = 0.98;        // what a verification counts after each step, so that what failed is tried again, rarely
    private const double PriorDraft = 0.35;    // of a plain step: a draft of a drafter that is not ready yet
    private const double UnknownText = 0.06;   // of the time of a draft, what one for one more text adds: hopeful, so that it is tried
    private const int ProbeRows = 2;           // to know whether a drafter that is not ready could pay
    private const double CheapProbe = 1.2;     // plain steps that these rows take where it could
    private const int ManyTokens = 96;         // that must still be allowed for it to pay
    private const double Certain = 0.2;        // the mean probability of the sampled tokens from which on it pays
    private const double LongEnough = 1;       // seconds of decoding in all, from which on it pays to compile the code that drafts
    private const int NoDrafter = -1;

    private readonly StepTimes _times = new();
    private readonly List<Drafter> _drafters = []; // what is known of the sequences' first drafter, second ...
    private double? _account;                      // seconds
    private double _plain;                         // seconds of this step without drafts
    private double _expected;                      // tokens of this step
    private double _spent;                         // seconds of all forward passes
    private double _drafting;                      // seconds spent on drafts in this step
    private int _sequences, _rows, _sincePlain;
    private bool _measures;
    private long _started;

    private sealed class Drafter
    {
        private readonly List<double> _passes = []; // seconds of a draft for one text, for two at once ...; NaN where unknown

        public double Right, Tried; // drafts, recent ones more
        public double Prior;        // seconds of a draft before any is measured
        public bool IsMeasured => _passes.Count > 0;
        public double Chance => (Right + PriorRight * PriorWeight) / (Tried + PriorWeight); // that a draft is right

        /// <summary>Tokens of a step with drafts: it ends with the first wrong one.</summary>
        public double Tokens(int drafts) => Chance >= 1 ? drafts + 1 : (1 - Math.Pow(Chance, drafts + 1)) / (1 - Chance);

        /// <summary>Seconds of a draft for each of so many texts at once: a low one of the last steps, or a guess.</summary>
        public double Seconds(int texts)
        {
            for (int known = Math.Min(texts, _passes.Count); known > 0; known--)
            {
                if (!double.IsNaN(_passes[known - 1]))
                    return _passes[known - 1] * (1 + UnknownText * (texts - known));
            }
            return IsMeasured ? _passes[^1] : Prior;
        }

        public void Measure(int texts, double seconds)
        {
            while (_passes.Count < texts)
                _passes.Add(double.NaN);
            // the first time code is compiled; after that a rise counts slowly, since what else the machine does passes
            double known = _passes[texts - 1];
            _passes[texts - 1] = double.IsNaN(known) || seconds < known ? seconds : known + (seconds - known) / 8;
        }
    }

    protected internal override void Begin(int decoding, int prefilling)
    {
        _sequences = _rows = decoding;
        (_expected, _drafting, _measures) = (decoding, 0, decoding > 0 && prefilling == 0 && decoding <= StepTimes.MaxRows);
        _plain = _measures && _times.Known(decoding) > 0 ? _times.Of(decoding) : 0;
        foreach (Drafter drafter in _drafters)
            (drafter.Right, drafter.Tried) = (drafter.Right * Memory, drafter.Tried * Memory);
    }

    protected override void Draft(ReadOnlySpan<Drafts> texts)
    {
        CreditRightDrafts(texts);
        if (!_measures || _times.Known(_sequences) < PlainSteps || _sincePlain >= PlainEvery || (!always && IsShort(texts)))
            return;
        IReadOnlyList<IDrafter> first = texts[0].Sequence.Drafters;
        for (int i = _drafters.Count; i < first.Count; i++)
            _drafters.Add(new Drafter { Prior = first[i].IsReady ? 0 : PriorDraft * _plain });
        if (!always && ShouldProbe(texts[0]))
        {
            Probe(texts[0]);
            return;
        }

        // A text asks its own drafters first, but for those that are right less often than one that drafts for all texts at once. The
        // text that is furthest behind is the first to ask.
        List<int> own = [], shared = [];
        for (int i = 0; i < first.Count; i++)
            (texts.Length > 1 && texts[1].Sequence.Drafters[i] == first[i] ? shared : own).Add(i);
        int together = Best(texts, shared).Drafter;
        double leastChance = together == NoDrafter ? 0 : _drafters[together].Chance;
        List<Drafts> rest = [];
        foreach (Drafts text in texts.ToArray().OrderBy(text => text.Sequence.DraftsAhead))
        {
            if (!AskBest([text], own.FindAll(i => _drafters[i].Chance >= leastChance)))
                rest.Add(text);
        }
        AskBest(CollectionsMarshal.AsSpan(rest), shared);
    }

    // Right drafts save time where all texts have them. What some are ahead of another one does not let that one end sooner.
    private void CreditRightDrafts(ReadOnlySpan<Drafts> texts)
    {
        int least = int.MaxValue, credited = 0;
        foreach (Drafts text in texts)
            least = Math.Min(least, text.Sequence.DraftsAhead + text.Sequence.RightDrafts);
        foreach (Drafts text in texts)
        {
            Sequence sequence = text.Sequence;
            int before = sequence.DraftsAhead;
            (sequence.DraftsAhead, sequence.RightDrafts) = (before + sequence.RightDrafts - least, 0);
            credited += least + Math.Min(sequence.DraftsAhead, MaxAhead) - Math.Min(before, MaxAhead);
        }
        _account += _plain * credited / texts.Length;
    }

    private bool IsShort(ReadOnlySpan<Drafts> texts)
    {
        int room = 0;
        foreach (Drafts text in texts)
            room = Math.Max(room, text.Sequence.Room);
        return _spent + room * _plain < LongEnough;
    }

    private void Probe(Drafts text)
    {
        (text.Wanted, text.Drafter) = (ProbeRows - 1, NoDrafter);
        while (text.Count < text.Wanted)
            text.Add(text.Sequence.Tokens[^1]); // what a row takes does not depend on its token
        _rows += text.Count;
    }

    // Asks the most promising drafter that has a guess.
    private bool AskBest(ReadOnlySpan<Drafts> texts, List<int> drafters)
    {
        while (texts.Length > 0 && Best(texts, drafters) is (var drafter and >= 0, var count))
        {
            drafters.Remove(drafter);
            if (Ask(texts, drafter, count) > 0)
                return true;
        }
        return false;
    }

    // The drafter and the number of drafts for each of these texts with which a token of this step takes the shortest time.
    private (int Drafter, int Count) Best(ReadOnlySpan<Drafts> texts, List<int> drafters)
    {
        (int Drafter, int Count) best = (NoDrafter, 0);
        double without = _times.Of(_rows);
        double shortest = always ? double.PositiveInfinity
            : (1 - Worthwhile * texts.Length / _sequences) * (without + _drafting) / _expected;
        foreach (int i in drafters)
        {
            IDrafter itself = texts[0].Sequence.Drafters[i];
            if (!always && !itself.IsReady && !IsWorthGettingReady(texts[0].Sequence))
                continue;
            Drafter drafter = _drafters[i];
            double seconds = drafter.Seconds(texts.Length);
            // from few to more, so that what is unknown does not cost much
            int reach = drafter.IsMeasured ? 1 + 2 * Math.Max(0, _times.Largest - _sequences) - (_rows - _sequences) : 1;
            reach = Math.Min(Math.Max(reach, texts.Length > 1 ? texts.Length : 0), StepTimes.MaxRows - _rows);
            for (int count = 1; ; count++)
            {
                (int rows, double tokens, bool isMore) = (0, 0, false);
                foreach (Drafts text in texts)
                {
                    int own = Math.Min(count, text.Max);
                    (rows, tokens, isMore) = (rows + own, tokens + drafter.Tokens(own) - 1, isMore || own == count);
                }
                if (!isMore || rows > reach)
                    break;
                if (!always && _times.AtMost(_rows + rows) + count * seconds - without > _account)
                    break; // more than may be lost
                double perToken = (_times.Of(_rows + rows) + count * seconds + _drafting) / (_expected + tokens);
                if (perToken < shortest)
                    (shortest, best) = (perToken, (i, count));
            }
        }
        return best;
    }

    // Drafts that the texts have now.
    private int Ask(ReadOnlySpan<Drafts> texts, int index, int count)
    {
        Drafter drafter = _drafters[index];
        bool wasReady = texts[0].Sequence.Drafters[index].IsReady;
        foreach (Drafts text in texts)
            text.Wanted = Math.Min(count, text.Max);
        long started = clock.GetTimestamp();
        Ask(index, texts);
        double seconds = clock.GetElapsedTime(started).TotalSeconds;
        int most = 0, sum = 0;
        foreach (Drafts text in texts)
        {
            (most, sum) = (Math.Max(most, text.Count), sum + text.Count);
            _expected += drafter.Tokens(text.Count) - 1;
        }
        if (wasReady && most > 0)
            drafter.Measure(texts.Length, seconds / most);
        if (wasReady)
            _drafting += seconds;
        _rows += sum;
        return sum;
    }

    private bool ShouldProbe(Drafts text) => _sequences == 1 && text.Max >= ProbeRows - 1
        && _times.Known(ProbeRows) == 0 && CouldPay(text.Sequence) && _times.Of(ProbeRows) - _plain <= _account
        && text.Sequence.Drafters.Any(static drafter => !drafter.IsReady);

    private bool IsWorthGettingReady(Sequence sequence) => _sequences == 1 && CouldPay(sequence)
        && _times.Known(ProbeRows) > 0 && _times.Of(ProbeRows) <= CheapProbe * _plain;

    private static bool CouldPay(Sequence sequence) =>
        sequence.Room >= ManyTokens && sequence.MeanProbability >= Certain;

    protected internal override void BeginForward() => _started = clock.GetTimestamp();

    protected internal override void EndForward()
    {
        if (!_measures)
            return;
        double seconds = clock.GetElapsedTime(_started).TotalSeconds, predicted = _plain > 0 ? _times.Of(_rows) : double.PositiveInfinity;
        bool isPlain = _rows == _sequences, isFirst = _times.Known(_rows) == 0;
        _times.Add(_rows, seconds, predicted);
        _spent += seconds;
        _sincePlain = isPlain ? 0 : _sincePlain + 1;
        if (_plain == 0)
            return;
        double account = (_account ?? _plain) + Allowance * seconds;
        if (!isPlain)
            account -= (isFirst ? Math.Min(seconds, 2 * predicted) : seconds) + _drafting - _plain;
        _account = Math.Min(account, MostSaved * _plain);
    }

    protected override void Verified(Sequence sequence, int drafter, bool isRight)
    {
        if (isRight && _measures)
            sequence.RightDrafts++;
        if (drafter == NoDrafter)
            return;
        _drafters[drafter].Right += isRight ? 1 : 0;
        _drafters[drafter].Tried++;
    }
}
