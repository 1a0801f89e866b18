namespace Llama2.Cli.Server;

/// <summary>
/// All jobs, each known only to the user whose key it came with. Those that have ended are forgotten after a time, the oldest sooner where
/// their texts are more characters than it may keep; the others are as many as the engine takes.
/// </summary>
internal sealed class JobStore(TimeProvider time, TimeSpan maxAge, long maxCharacters)
{
    private readonly Lock _gate = new(); // guards what follows
    private readonly Dictionary<(string User, Guid Id), Job> _all = [];
    private readonly Queue<(string User, Guid Id, int Size, DateTimeOffset Ended)> _ended = [];
    private long _characters; // of these

    /// <summary>Takes a new job, unless there is one of this id.</summary>
    /// <returns>The job, or null.</returns>
    public Job? Add(string user, Guid id, Func<Job> create)
    {
        lock (_gate)
        {
            Forget();
            if (_all.ContainsKey((user, id)))
                return null;
            return _all[(user, id)] = create();
        }
    }

    public Job? Find(string user, Guid id)
    {
        lock (_gate)
        {
            Forget();
            return _all.GetValueOrDefault((user, id));
        }
    }

    /// <summary>Notes that a job has ended, from when on its time runs.</summary>
    /// <param name="size">Characters that it keeps.</param>
    public void End(string user, Guid id, int size)
    {
        lock (_gate)
        {
            _ended.Enqueue((user, id, size, time.GetUtcNow()));
            _characters += size;
            Forget();
        }
    }

    private void Forget()
    {
        while (_ended.TryPeek(out (string User, Guid Id, int Size, DateTimeOffset Ended) oldest)
            && (_characters > maxCharacters || time.GetUtcNow() - oldest.Ended > maxAge))
        {
            _ended.Dequeue();
            _all.Remove((oldest.User, oldest.Id));
            _characters -= oldest.Size;
        }
    }
}
