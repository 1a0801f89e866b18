namespace Llama2.Fast;

/// <summary>A kernel was asked for, by the caller or by the environment, that this machine does not have.</summary>
public sealed class KernelException(string message) : Exception(message);
