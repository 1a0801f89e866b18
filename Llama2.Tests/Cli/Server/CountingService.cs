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
        service.Begin(Model(engine.Config), engine);
        return service;
    }

    /// <summary>A model as requests are read for it, of any shape.</summary>
    public static ServedModel Model(Config config) => new("model", config, TokenizerFile.Open(Repository.Weights("tok512-tales.bin")),
        ChatTemplates.All[0], (temperature, topp, seed) => new Sampler(config.VocabSize, temperature, topp, seed), MaxTexts: 1);
}
