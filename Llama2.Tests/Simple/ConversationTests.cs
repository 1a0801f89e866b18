using Llama2.Simple;
using Llama2.Simple.Formats;

namespace Llama2.Tests.Simple;

public sealed class ConversationTests : IDisposable
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));
    private static readonly ChatTemplate Llama2 = ChatTemplate.All.Single(t => t.Name == "llama2"), Plain = ChatTemplate.All.Single(t => t.Name == "plain");

    private readonly Checkpoint _checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
    private readonly Transformer _model;

    public ConversationTests() => _model = new Transformer(_checkpoint.Config, _checkpoint.Weights);

    public void Dispose()
    {
        _model.Dispose();
        _checkpoint.Dispose();
    }

    private Session NewSession(ulong seed = 7) => new(_model, new Sampler(_model.Config.VocabSize, 0.8f, 0.9f, seed));

    private static string Say(Conversation conversation, string user, CancellationToken cancellation = default) => string.Concat(conversation.Say(user, cancellation));

    private static Conversation Scripted(string answer, bool ends, params string[] stops) =>
        new(new Session(new ScriptedModel([.. Tales.Encode(answer, bos: false, blank: false), ends ? Tokenizer.Eos : Tokenizer.Unknown], Tales.VocabSize), new Sampler(Tales.VocabSize, 0, 0, 1)), Tales, Llama2) { Stops = stops };

    [Fact]
    public void The_model_sees_the_template_and_its_own_answers()
    {
        Conversation conversation = Scripted("I am fine.", ends: true);
        Assert.Equal("I am fine.", Say(conversation, "How are you?"));
        Assert.Equal(AnswerEnd.Model, conversation.End);
        int[] first = [.. Llama2.Encode(Tales, "How are you?"), .. Tales.Encode("I am fine.", bos: false, blank: false)];
        Assert.Equal(first, conversation.Session.Tokens);
        Assert.Equal([new Turn(0, Llama2.Encode(Tales, "How are you?").Length, "How are you?", true)], conversation.Turns);
        Assert.Equal(Llama2.Encode(Tales, "Good.", first: false), conversation.Encode("Good."));
    }

    [Fact]
    public void A_stop_string_ends_an_answer_and_is_neither_shown_nor_remembered()
    {
        Conversation conversation = Scripted("One day User: Tim said", ends: true, "User:");
        Assert.Equal("One day ", Say(conversation, "Hi"));
        Assert.Equal(AnswerEnd.Model, conversation.End);
        string remembered = Tales.Decode([Tokenizer.Bos, .. conversation.Session.Tokens[conversation.Turns[0].Answer..]]);
        Assert.StartsWith("One day", remembered, StringComparison.Ordinal);
        Assert.DoesNotContain("ser:", remembered, StringComparison.Ordinal);
    }

    [Fact]
    public void The_beginning_of_a_stop_string_is_shown_if_the_answer_ends_there()
    {
        Conversation conversation = Scripted("One day Us", ends: true, "User:");
        Assert.Equal("One day Us", Say(conversation, "Hi"));
        Assert.Equal("One day Us", Tales.Decode([Tokenizer.Bos, .. conversation.Session.Tokens[conversation.Turns[0].Answer..]]).TrimStart());
    }

    [Fact]
    public void Control_characters_of_an_answer_do_not_reach_a_terminal()
    {
        Conversation conversation = Scripted("a\u001b[2Jb\u0007\n", ends: true);
        Assert.Equal("a[2Jb\n", Say(conversation, "Hi"));
    }

    [Fact]
    public void Cancelling_keeps_what_was_said_and_cancelling_at_once_says_nothing()
    {
        Conversation conversation = new(NewSession(), Tales, Plain);
        using CancellationTokenSource source = new();
        string heard = "";
        foreach (string text in conversation.Say("Once upon a time", source.Token))
        {
            heard += text;
            if (conversation.AnswerTokens == 9)
                source.Cancel();
        }
        Assert.Equal(AnswerEnd.Cancelled, conversation.End);
        Assert.Equal(heard, Tales.Decode(conversation.Session.Tokens)["Once upon a time".Length..]);

        int before = conversation.Session.Tokens.Length;
        Assert.Equal("", Say(conversation, "More", source.Token));
        Assert.Equal(before, conversation.Session.Tokens.Length);
        Assert.Single(conversation.Turns);
    }

    [Fact]
    public void Undo_leaves_the_conversation_as_if_the_turn_had_not_been()
    {
        Conversation undone = new(NewSession(), Tales, Plain) { MaxAnswer = 30 }, never = new(NewSession(), Tales, Plain) { MaxAnswer = 30 };
        Say(undone, "Tom had a dog.");
        Say(never, "Tom had a dog.");
        Say(undone, "It was red.");
        Assert.Equal("It was red.", undone.Undo());
        undone.Session.Sampler.RandomState = never.Session.Sampler.RandomState;
        Assert.Equal(Say(never, "The dog ran."), Say(undone, "The dog ran."));
        Assert.Equal(never.Session.Logits, undone.Session.Logits);
        undone.Undo();
        undone.Undo();
        Assert.Null(undone.Undo());
        Assert.Equal(0, undone.Session.Tokens.Length);
    }

    [Fact]
    public void A_message_without_room_is_refused_and_nothing_is_lost()
    {
        Conversation conversation = new(NewSession(), Tales, Plain) { MaxAnswer = 20 };
        Say(conversation, "Tom had a dog.");
        int before = conversation.Session.Tokens.Length;
        string book = string.Concat(Enumerable.Repeat("and they ran ", 300));
        Assert.Throws<ContextFullException>(() => Say(conversation, book));
        Assert.Equal(before, conversation.Session.Tokens.Length);
        Assert.Single(conversation.Turns);
    }

    [Fact]
    public void A_full_context_ends_the_answer_with_every_shown_token_remembered()
    {
        Conversation conversation = new(new Session(_model, new Sampler(512, 0.8f, 0.9f, 1)) { Filters = [LogitFilters.Without(Tokenizer.Bos, Tokenizer.Eos)] }, Tales, Plain);
        string answer = Say(conversation, "Once");
        Assert.Equal(AnswerEnd.Context, conversation.End);
        Assert.Equal(0, conversation.Left);
        Assert.Equal("Once" + answer, Tales.Decode(conversation.Session.Tokens));
    }

    [Fact]
    public void The_oldest_turns_make_room_and_it_is_said_first()
    {
        List<(int Turns, int Tokens)> dropped = [];
        Conversation conversation = new(new Session(_model, new Sampler(512, 0.8f, 0.9f, 1)) { Filters = [LogitFilters.Without(Tokenizer.Bos, Tokenizer.Eos)] }, Tales, Llama2, "Tell a story.")
        {
            DropsOldest = true,
            MaxAnswer = 100,
            OnDrop = (turns, tokens) => dropped.Add((turns, tokens)),
        };
        string[] said = ["One", "Two", "Three", "Four", "Five"];
        List<string> answers = [];
        foreach (string user in said)
        {
            answers.Add(Say(conversation, user));
            Assert.Equal(AnswerEnd.Limit, conversation.End);
        }
        Assert.NotEmpty(dropped);
        int gone = dropped.Sum(d => d.Turns);
        Assert.Equal(said[gone..], conversation.Turns.Select(turn => turn.User));

        // what is left is what the conversation would be had it begun with the first turn that is left
        List<int> expected = [];
        for (int i = gone; i < said.Length; i++)
        {
            Turn turn = conversation.Turns[i - gone];
            Assert.Equal(expected.Count, turn.Start);
            expected.AddRange(Llama2.Encode(Tales, said[i], "Tell a story.", first: i == gone, ended: false));
            Assert.Equal(expected.Count, turn.Answer);
            int end = i + 1 < said.Length ? conversation.Turns[i - gone + 1].Start : conversation.Session.Tokens.Length;
            expected.AddRange(conversation.Session.Tokens[turn.Answer..end]);
            Assert.Equal(100, end - turn.Answer);
        }
        Assert.Equal(expected, conversation.Session.Tokens.ToArray());
        Session fresh = NewSession();
        fresh.Feed(expected.ToArray());
        Assert.Equal(fresh.Logits, conversation.Session.Logits);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)] // nothing is left: the message is the first turn again, with the system prompt
    public void As_few_turns_as_make_room_for_a_message_are_dropped(int drop)
    {
        const int Turns = 5;
        Conversation conversation = New(out List<int> dropped, out int first, out int others);
        int left = drop == Turns ? 0 : first + ((Turns - drop - 1) * others);
        int around = Llama2.Encode(Tales, "\u0002", "Be kind.", first: drop == Turns).Length - 1; // this character is a token by itself
        string fits = new('\u0002', conversation.Session.Transformer.Config.SeqLen - left - around - 1);
        Say(conversation, fits);
        Assert.Equal([drop], dropped);
        Assert.Equal(Turns - drop + 1, conversation.Turns.Count);

        conversation = New(out dropped, out _, out _);
        if (drop == Turns)
            Assert.Throws<ContextFullException>(() => Say(conversation, fits + "\u0002"));
        else
            Say(conversation, fits + "\u0002");
        Assert.Equal(drop == Turns ? [] : [drop + 1], dropped);

        static Conversation New(out List<int> dropped, out int first, out int others)
        {
            List<int> drops = dropped = [];
            ScriptedModel model = new([300, Tokenizer.Eos], Tales.VocabSize);
            Conversation conversation = new(new Session(model, new Sampler(Tales.VocabSize, 0, 0, 1)), Tales, Llama2, "Be kind.") { DropsOldest = true, OnDrop = (turns, _) => drops.Add(turns) };
            Say(conversation, "a");
            first = conversation.Session.Tokens.Length;
            for (int i = 1; i < Turns; i++)
                Say(conversation, "a");
            others = (conversation.Session.Tokens.Length - first) / (Turns - 1);
            return conversation;
        }
    }

    [Fact]
    public void Old_turns_make_room_for_an_answer_while_it_is_given()
    {
        int dropped = 0;
        Conversation conversation = new(new Session(_model, new Sampler(512, 0.8f, 0.9f, 1)) { Filters = [LogitFilters.Without(Tokenizer.Bos, Tokenizer.Eos)] }, Tales, Llama2)
        {
            DropsOldest = true,
            MaxAnswer = 300,
            OnDrop = (turns, _) => dropped += turns,
        };
        Say(conversation, "One");
        string answer = Say(conversation, "Two");
        Assert.Equal((1, AnswerEnd.Limit, 300), (dropped, conversation.End, conversation.AnswerTokens));
        Assert.Equal("Two", Assert.Single(conversation.Turns).User);
        int[] tokens = conversation.Session.Tokens.ToArray(), prompt = Llama2.Encode(Tales, "Two");
        Assert.Equal(prompt, tokens[..prompt.Length]);
        Assert.Equal(300, tokens.Length - prompt.Length);
        Assert.Equal(answer.TrimStart(), Tales.Decode([Tokenizer.Bos, .. tokens[prompt.Length..]]).TrimStart());
        Session fresh = NewSession();
        fresh.Feed(tokens);
        Assert.Equal(fresh.Logits, conversation.Session.Logits);
    }

    [Fact]
    public void One_answer_longer_than_the_context_ends_even_if_old_turns_may_go()
    {
        Conversation conversation = new(new Session(_model, new Sampler(512, 0.8f, 0.9f, 1)) { Filters = [LogitFilters.Without(Tokenizer.Bos, Tokenizer.Eos)] }, Tales, Plain) { DropsOldest = true };
        Say(conversation, "Once");
        Say(conversation, "Then");
        Assert.Equal(AnswerEnd.Context, conversation.End);
        Assert.Equal(["Then"], conversation.Turns.Select(turn => turn.User));
    }

    [Theory]
    [InlineData("")]
    [InlineData("Be kind.")]
    public void A_saved_conversation_goes_on_with_the_same_bits(string system)
    {
        Conversation whole = new(NewSession(), Tales, Llama2, system) { MaxAnswer = 25 };
        Say(whole, "Tom had a dog.");
        string notes = ConversationNotes.Write(whole);
        using MemoryStream stream = new();
        SessionFile.Write(stream, new SavedSession(whole.Session.Tokens.ToArray(), whole.Session.Cache, 0.8f, 0.9f, whole.Session.Sampler.RandomState, 0, notes),
            _model.Config, new byte[32], "simple");
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, stream.ToArray());
            SavedSession saved = SessionFile.Read(path, _model.Config, new byte[32], "simple");
            Session session = new(_model, new Sampler(512, saved.Temperature, saved.TopP, saved.RandomState), saved.Cache, saved.Tokens[..^1]);
            session.Feed([saved.Tokens[^1]]);
            ConversationNotes read = ConversationNotes.Read(path, saved);
            Assert.Equal((Llama2.Name, system), (read.Template, read.System));
            Conversation loaded = new(session, Tales, Llama2, read.System, read.Turns) { MaxAnswer = 25 };
            Assert.Equal(Say(whole, "It ran."), Say(loaded, "It ran."));
            Assert.Equal(whole.Session.Logits, loaded.Session.Logits);
            Assert.Equal(whole.Turns, loaded.Turns);
            Assert.Equal(whole.Session.Sampler.RandomState, session.Sampler.RandomState);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"template":"none","system":"","turns":[]}""")]
    [InlineData("""{"template":"plain","system":null,"turns":[]}""")]
    [InlineData("""{"template":"plain","system":"","turns":[null]}""")]
    [InlineData("""{"template":"plain","system":"","turns":[{"start":1,"answer":2,"user":"","ended":true}]}""")]
    [InlineData("""{"template":"plain","system":"","turns":[{"start":0,"answer":0,"user":"","ended":true}]}""")]
    [InlineData("""{"template":"plain","system":"","turns":[{"start":0,"answer":9,"user":"","ended":true}]}""")]
    [InlineData("""{"template":"plain","system":"","turns":[{"start":0,"answer":2,"user":"","ended":true},{"start":1,"answer":3,"user":"","ended":true}]}""")]
    public void Notes_that_do_not_fit_are_refused(string notes)
    {
        SavedSession session = new([1, 2, 3, 4], new KvCache(_model.Config), 1, 1, 1, 0, notes);
        Assert.Equal("notes", Assert.Throws<SessionException>(() => ConversationNotes.Read("file", session)).Field);
    }
}

/// <summary>A model that says the same tokens whatever it is told, each time from the first one.</summary>
internal sealed class ScriptedModel(int[] script, int vocabSize) : ITransformer
{
    private int _next;

    public Config Config { get; } = new(2, 2, 1, 1, 1, vocabSize, 256);

    public void Forward(ReadOnlySpan<Row> rows, Span<float> output)
    {
        Rows.Prepare(Config, rows, output);
        foreach (Row row in rows)
        {
            row.Cache.Advance();
            if (row.Want != Want.Logits)
                continue;
            output[..vocabSize].Clear();
            output[script[_next++ % script.Length]] = 1;
            output = output[vocabSize..];
        }
    }

    public void Dispose()
    {
    }
}
