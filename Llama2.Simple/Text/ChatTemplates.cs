namespace Llama2.Simple.Text;

/// <summary>The chat formats that are known: the text around each turn.</summary>
public static class ChatTemplates
{
    internal static readonly ChatTemplate ChatMl = new("chatml",
        "<|im_start|>user\n{user}<|im_end|>\n", "<|im_start|>assistant\n{answer}<|im_end|>\n")
    {
        System = "<|im_start|>system\n{system}<|im_end|>\n",
        Markers = ["<|im_start|>", "<|im_end|>"],
        Stops = ["<|im_end|>"],
    };

    private static readonly ChatTemplate Llama3 = new("llama3",
        "<|start_header_id|>user<|end_header_id|>\n\n{user|trim}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n{answer|trim}<|eot_id|>")
    {
        Begin = "{bos}",
        System = "<|start_header_id|>system<|end_header_id|>\n\n{system|trim}<|eot_id|>",
        Markers = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        Stops = ["<|eot_id|>"],
    };

    private static readonly ChatTemplate Zephyr = new("zephyr", "<|user|>\n{user}{eos}\n", "<|assistant|>\n{answer}{eos}\n")
    {
        System = "<|system|>\n{system}{eos}\n",
        Markers = ["<|system|>", "<|user|>", "<|assistant|>"],
        Stops = ["<|user|>"],
    };

    private static readonly ChatTemplate Mistral = new("mistral-v1", "[INST] {user} [/INST]", "{answer}{eos} ")
    {
        Begin = "{bos}",
        Alternates = true,
        Markers = ["[INST]", "[/INST]"],
    };

    /// <summary>The templates, the default one first.</summary>
    public static IReadOnlyList<ChatTemplate> All { get; } =
    [
        new("llama2", "{bos}[INST] {user} [/INST]", " {answer} {eos}")
        {
            UserWithSystem = "{bos}[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]",
            Alternates = true,
            Markers = ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"],
        },
        new("plain", "{user}", "{answer}") { System = "{system} ", IsContinuation = true },
        new("alpaca", "### Instruction:\n{user}\n\n", "### Response:\n{answer}\n\n")
        {
            System = "{system}\n\n",
            Markers = ["### Instruction:", "### Response:"],
            Stops = ["### Instruction:"],
        },
        ChatMl,
        new("vicuna", "USER: {user} ", "ASSISTANT: {answer}{eos}")
        {
            System = "{system} ",
            Markers = ["USER:", "ASSISTANT:"],
            Stops = ["USER:"],
        },
        Llama3,
        Llama3 with
        {
            Name = "llama3.1",
            System = "<|start_header_id|>system<|end_header_id|>\n\n"
                + "Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n{system|trim}<|eot_id|>",
            DefaultSystem = "",
        },
        Mistral,
        Mistral with
        {
            Name = "mistral-v3",
            User = "[INST] {user}[/INST]",
            Answer = " {answer|trim}{eos}",
            UserWithSystem = "[INST] {system}\n\n{user}[/INST]",
            IsSystemInLast = true,
            Alternates = false,
        },
        Zephyr,
        Zephyr with { Name = "tinyllama" },
        new("guanaco", "### Human: {user|trim}", "### Assistant: {answer|trim}")
        {
            System = "{system}",
            Between = "\n",
            Markers = ["### Human:", "### Assistant:"],
            Stops = ["### Human:"],
        },
        ChatMl with { Name = "smollm2", DefaultSystem = "You are a helpful AI assistant named SmolLM, trained by Hugging Face" },
    ];

    /// <exception cref="InvalidOperationException">There is no template of that name.</exception>
    public static ChatTemplate Named(string name) => All.Single(template => template.Name == name);
}
