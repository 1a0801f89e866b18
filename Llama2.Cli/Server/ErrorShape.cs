namespace Llama2.Cli.Server;

/// <summary>How an API writes that something is wrong; the status is the same in all of them.</summary>
internal enum ErrorShape
{
    OpenAi,  // an object with a message, a type and a code
    Message, // Ollama's: an object with the message alone
    Text,    // llama.go's and RLLaMA's: the message, which is no JSON
}
