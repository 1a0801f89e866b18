namespace Llama2.Simple;

/// <summary>Takes logits and returns a token. The same seed and the same logits give the same tokens.</summary>
public interface ISampler
{
    float Temperature { get; }      // divides the logits; 0 is greedy
    float TopP { get; }             // probability of the nucleus; 0 or 1 turn top-p sampling off
    ulong RandomState { get; set; } // all that a sampler remembers between tokens

    /// <summary>The next token.</summary>
    /// <param name="logits">Logits: (vocab_size,). They are overwritten with probabilities unless the temperature is 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A span of another length.</exception>
    int Sample(Span<float> logits);
}
