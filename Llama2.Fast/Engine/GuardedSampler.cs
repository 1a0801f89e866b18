using Llama2.Simple.Generation;

namespace Llama2.Fast.Engine;

/// <summary>
/// Keeps what a caller brought along, such as filters, from ending a step that others share: an exception is remembered, and the request
/// fails when the step has ended.
/// </summary>
internal sealed class GuardedSampler(ISampler sampler) : ISampler
{
    public Exception? Failure { get; private set; }

    public float Temperature => sampler.Temperature;
    public float TopP => sampler.TopP;
    public ulong RandomState { get => sampler.RandomState; set => sampler.RandomState = value; }

    public int Sample(Span<float> logits)
    {
        if (Failure is null)
        {
            try
            {
                return sampler.Sample(logits);
            }
            catch (Exception e)
            {
                Failure = e;
            }
        }
        return 0;
    }

    public LogitFilter Filter(LogitFilter filter) => (logits, tokens) =>
    {
        if (Failure is not null)
            return;
        try
        {
            filter(logits, tokens);
        }
        catch (Exception e)
        {
            Failure = e;
        }
    };

    public Func<int, bool> IsEnd(Func<int, bool> isEnd) => token =>
    {
        try
        {
            return Failure is not null || isEnd(token);
        }
        catch (Exception e)
        {
            Failure = e;
            return true;
        }
    };
}
