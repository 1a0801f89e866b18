using Llama2.Cli.Server;
using Llama2.Fast.Engine;
using Llama2.Tests.Fast;

namespace Llama2.Tests.Cli.Server;

/// <summary>What requests share in a server of a <see cref="CountingModel"/>, without a server.</summary>
internal static class CountingService
{
    public static Service Start(GenerationEngine engine, TimeSpan? pingAfter = null)
    {
        Service service = new(new ServerOptions { Timeout = TimeSpan.FromMinutes(1), PingAfter = pingAfter ?? TimeSpan.FromHours(1) });
        Tokenizer tokenizer = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));
        service.Begin(new ServedModel("model", engine.Config, tokenizer, ChatTemplates.All[0],
            (temperature, topp, seed) => new Sampler(CountingModel.Vocab, temperature, topp, seed), 1), engine);
        return service;
    }
}
