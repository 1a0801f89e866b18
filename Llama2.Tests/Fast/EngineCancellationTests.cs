using System.Collections.Concurrent;
using Llama2.Fast.Engine;
using static Llama2.Tests.Fast.CountingRequests;

namespace Llama2.Tests.Fast;

/// <summary>Requests that are cancelled, wherever they are, leave an engine at once, and those of others do not notice.</summary>
public sealed class EngineCancellationTests
{
    [Fact]
    public async Task Cancelled_requests_leave_the_queue_and_their_pods_and_nobody_else_is_disturbed()
    {
        using Gate gate = new();
        ConcurrentQueue<int> fed = [];
        using CountingModel model = new(rows =>
        {
            Array.ForEach(rows, row => fed.Enqueue(row.Token));
            gate.Pass();
        });
        using GenerationEngine engine = new(model, new EngineOptions { Pods = 2, MaxQueue = 1, CacheBytes = 0 });
        using CancellationTokenSource reading = new(), waiting = new();
        Generation other = engine.Submit(Count(10, 20), Cancellation);
        gate.WaitUntilReached();
        Generation inPrefill = engine.Submit(Count(150, 5, promptLength: 100), reading.Token);
        Generation inQueue = engine.Submit(Count(200), waiting.Token);
        gate.LetPass(3);
        waiting.Cancel();
        Generation next = engine.Submit(Count(250), Cancellation); // there is room for it
        reading.Cancel();
        gate.Open();
        Assert.Equal(From(11, 20), await Read(other));
        Assert.Equal(From(251, 5), await Read(next));
        Assert.Empty(await Read(inPrefill));
        Assert.Empty(await Read(inQueue));
        Assert.Equal((TextEnd.Cancelled, TextEnd.Cancelled), (inPrefill.End, inQueue.End));
        Assert.DoesNotContain(200, fed);
        Assert.DoesNotContain(150, fed); // the end of the prompt was not read
        Assert.All(engine.Pods, pod => Assert.False(pod.IsBusy));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_thousand_that_leave_are_fed_at_most_one_step_more_and_change_nothing_for_those_who_stay(int seed)
    {
        const int Steady = 2, Leaving = 1000;
        Random random = new(seed);
        ConcurrentDictionary<int, int> after = []; // rows of each that has left, since then
        HashSet<int> gone = [];
        using CountingModel model = new(rows =>
        {
            lock (gone)
            {
                foreach (int mark in rows.Select(row => row.Token).Where(gone.Contains).Distinct())
                    after.AddOrUpdate(mark, 1, (_, count) => count + 1);
            }
        });
        using GenerationEngine engine = new(model, new EngineOptions { Pods = 4, MaxQueue = 8 });
        Task<int[]>[] staying = [.. Enumerable.Range(0, Steady).Select(i => StayAsync(10 * i))];
        for (int i = 0; i < Leaving; i++)
        {
            // its prompt and its answer are one number, which no other has in its time
            int mark = 60 + i % 200;
            lock (gone)
                gone.Remove(mark);
            after.TryRemove(mark, out _);
            using CancellationTokenSource leave = new();
            GenerationRequest request = new([.. Enumerable.Repeat(mark, random.Next(1, 200))], Greedy)
            {
                Filters = [(logits, _) => logits[mark] = 9],
            };
            Generation[] all;
            try
            {
                all = [.. engine.Submit([.. Enumerable.Repeat(request, random.Next(1, 6))], leave.Token)]; // some of them wait
            }
            catch (QueueFullException)
            {
                continue;
            }
            if (random.Next(3) > 0)
                await all[0].Tokens.WaitToReadAsync(Cancellation); // it is decoding
            lock (gone)
            {
                leave.Cancel(); // no step begins meanwhile
                gone.Add(mark);
            }
            foreach (Generation generation in all)
                await Read(generation);
            Assert.InRange(after.GetValueOrDefault(mark), 0, 1);
        }
        foreach (int[] answers in await Task.WhenAll(staying))
            Assert.NotEmpty(answers);
        Assert.All(engine.Pods, pod => Assert.False(pod.IsBusy));
        Assert.Equal((0, 0), (engine.Statistics.Running, engine.Statistics.Waiting));

        async Task<int[]> StayAsync(int from)
        {
            int[] last = [];
            for (int round = 0; round < 50; round++)
            {
                last = await Read(engine.Submit(Count(from, 40), Cancellation));
                Assert.Equal(From(from + 1, 40), last);
            }
            return last;
        }
    }
}
