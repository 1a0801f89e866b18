namespace Llama2.Fast.Engine;

/// <summary>So many requests wait that no more are taken; a later try may succeed.</summary>
public sealed class QueueFullException(int maxQueue) : InvalidOperationException($"the queue is full: {maxQueue} requests wait");

/// <summary>The engine takes no requests any more: it is closed, or broken, and then the inner exception says why.</summary>
public sealed class EngineClosedException(string message, Exception? inner = null) : InvalidOperationException(message, inner);

/// <summary>A request could not be computed; the inner exception says why. Others go on.</summary>
public sealed class RequestFailedException(Exception inner) : Exception("the computation failed: " + inner.Message, inner);

/// <summary>A pod is wanted for something else while a request runs in it.</summary>
public sealed class PodBusyException(int pod) : InvalidOperationException($"slot {pod} runs a request");
