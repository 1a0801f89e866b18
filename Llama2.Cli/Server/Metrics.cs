using System.Globalization;
using System.Text;
using Llama2.Fast.Engine;

namespace Llama2.Cli.Server;

/// <summary>Counters for Prometheus, under the names that boards for llama.cpp and vLLM know.</summary>
internal sealed class Metrics
{
    private static readonly double[] Buckets =
        [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60]; // seconds

    private readonly Lock _gate = new();
    private readonly Histogram _firstToken = new(), _total = new(), _perToken = new();
    private readonly SortedDictionary<string, long> _ends = new(StringComparer.Ordinal), _failures = new(StringComparer.Ordinal);

    /// <summary>Counts a request or a job that has ended.</summary>
    public void Count(CountedWork work)
    {
        lock (_gate)
        {
            if (work.Failure is { } failure)
                _failures[failure] = _failures.GetValueOrDefault(failure) + 1;
            if (work.Failure is not null || work.Answers is not { } answers)
                return;
            string end = RequestLog.End(work);
            _ends[end] = _ends.GetValueOrDefault(end) + 1;
            _total.Add(work.Elapsed.TotalSeconds);
            foreach (Generation generation in answers.Generations.Where(generation => generation.SampledTokens > 0))
            {
                _firstToken.Add((generation.Queued + generation.Prefill).TotalSeconds);
                if (generation.SampledTokens > 1)
                    _perToken.Add(generation.Decode.TotalSeconds / (generation.SampledTokens - 1));
            }
        }
    }

    /// <summary>All of them, in Prometheus' text format 0.0.4.</summary>
    public string Text(EngineStatistics engine, int pods, string model)
    {
        StringBuilder text = new();
        double promptSeconds = engine.PromptTime.TotalSeconds, seconds = engine.GenerationTime.TotalSeconds;
        One("llamacpp:prompt_tokens_total", "counter", "Tokens of prompts that were read.", engine.PromptTokens);
        One("llamacpp:prompt_seconds_total", "counter", "Time that prompts took, summed over requests.", promptSeconds);
        One("llamacpp:tokens_predicted_total", "counter", "Tokens generated.", engine.GeneratedTokens);
        One("llamacpp:tokens_predicted_seconds_total", "counter", "Time that answers took, summed over requests.", seconds);
        One("llamacpp:n_decode_total", "counter", "Forward passes.", engine.Steps);
        One("llamacpp:n_busy_slots_per_decode", "counter", "Requests in a forward pass, on average.",
            engine.Steps > 0 ? (double)engine.BusyPods / engine.Steps : 0);
        One("llamacpp:prompt_tokens_seconds", "gauge", "Tokens of prompts a second, on average.",
            promptSeconds > 0 ? engine.PromptTokens / promptSeconds : 0);
        One("llamacpp:predicted_tokens_seconds", "gauge", "Tokens generated a second by a request, on average.",
            seconds > 0 ? engine.GeneratedTokens / seconds : 0);
        One("llamacpp:kv_cache_tokens", "gauge", "Tokens in the KV caches of requests that run.", engine.RunningTokens);
        One("llamacpp:requests_processing", "gauge", "Requests that run.", engine.Running);
        One("llamacpp:requests_deferred", "gauge", "Requests in the queue.", engine.Waiting);

        string label = $"{{model_name=\"{string.Concat(model.Where(character => character is not ('"' or '\\' or '\n')))}\"";
        One("vllm:num_requests_running", "gauge", "Requests that run.", engine.Running, label + "}");
        One("vllm:num_requests_waiting", "gauge", "Requests in the queue.", engine.Waiting, label + "}");
        One("vllm:prompt_tokens_total", "counter", "Tokens of prompts.", engine.PromptTokens + engine.CachedTokens, label + "}");
        One("vllm:generation_tokens_total", "counter", "Tokens generated.", engine.GeneratedTokens, label + "}");
        One("vllm:spec_decode_num_draft_tokens_total", "counter", "Tokens guessed ahead.", engine.DraftedTokens, label + "}");
        One("vllm:spec_decode_num_accepted_tokens_total", "counter", "Of these, that were right.", engine.AcceptedTokens, label + "}");
        One("vllm:prefix_cache_queries_total", "counter", "Tokens of prompts.", engine.PromptTokens + engine.CachedTokens, label + "}");
        One("vllm:prefix_cache_hits_total", "counter", "Tokens of prompts that were in a kept cache.", engine.CachedTokens, label + "}");
        lock (_gate)
        {
            Head("vllm:request_success_total", "counter", "Requests by why they ended.");
            foreach ((string end, long count) in _ends)
                Line("vllm:request_success_total", $"{label},finished_reason=\"{end}\"}}", count);
            Head("llama2:request_failures_total", "counter", "Requests that were refused or broken off, by why.");
            foreach ((string reason, long count) in _failures)
                Line("llama2:request_failures_total", $"{label},reason=\"{reason}\"}}", count);
            Many("vllm:time_to_first_token_seconds", "From a request to its first token.", _firstToken);
            Many("vllm:time_per_output_token_seconds", "Between two tokens, the mean of a request.", _perToken);
            Many("vllm:e2e_request_latency_seconds", "From a request to its end.", _total);
        }
        One("llama2:pods", "gauge", "Requests that can run at once.", pods);
        One("llama2:kept_cache_bytes", "gauge", "Bytes of KV caches kept for prompts that begin alike.", engine.KeptBytes);
        return text.ToString();

        void Head(string name, string type, string help) => text.Append($"# HELP {name} {help}\n# TYPE {name} {type}\n");

        void Line(string name, string labels, double value) =>
            text.Append(CultureInfo.InvariantCulture, $"{name}{labels} {value}\n");

        void One(string name, string type, string help, double value, string labels = "")
        {
            Head(name, type, help);
            Line(name, labels, value);
        }

        void Many(string name, string help, Histogram histogram)
        {
            Head(name, "histogram", help);
            for (int i = 0; i < Buckets.Length; i++)
                Line(name + "_bucket", string.Create(CultureInfo.InvariantCulture, $"{label},le=\"{Buckets[i]}\"}}"), histogram.Below[i]);
            Line(name + "_bucket", label + ",le=\"+Inf\"}", histogram.Count);
            Line(name + "_sum", label + "}", histogram.Sum);
            Line(name + "_count", label + "}", histogram.Count);
        }
    }

    private sealed class Histogram
    {
        public long[] Below { get; } = new long[Buckets.Length]; // values up to each bound
        public double Sum { get; private set; }
        public long Count { get; private set; }

        public void Add(double value)
        {
            Sum += value;
            Count++;
            for (int i = 0; i < Buckets.Length; i++)
                Below[i] += value <= Buckets[i] ? 1 : 0;
        }
    }
}
