using Llama2.Tests.Shared;

namespace Llama2.Tests.Simple.Generation;

public sealed class ConversationTests : IDisposable
{
    private static readonly Tokenizer Tales = TokenizerFile.Open(Repository.Weights("tok512-tales.bin"));
    private static readonly ChatTemplate Llama2 = ChatTemplates.Named("llama2"), Plain =
        ChatTemplates.Named("plain");

    private readonly Checkpoint _checkpoint = Checkpoint.Open(Repository.Weights("tales659K.bin"));
    private readonly Transformer _model;

    public ConversationTests() => _model = new Transformer(_checkpoint.Config, _checkpoint.Weights);

    public void Dispose()
    {
        _model.Dispose();
        _checkpoint.Dispose();
    }

    private Sequence NewSequence() => new(_model.Config, new Sampler(_model.Config.VocabSize, 0.8f, 0.9f, 7));

    /// <summary>A sequence that the model never ends.</summary>
    private Sequence Endless() => new(_model.Config, new Sampler(512, 0.8f, 0.9f, 1))
    {
        Filters = [LogitFilters.Without(Tokenizer.BosId, Tokenizer.EosId)],
    };

    private static string Say(Conversation conversation, string user, CancellationToken cancellation = default) =>
        string.Concat(conversation.Say(user, cancellation));

    private static Conversation Scripted(string answer, bool ends, params string[] stops)
    {
        FakeModel model = FakeModel.Scripted(Tales.VocabSize,
            [.. Tales.Encode(answer, bos: false, blank: false), ends ? Tokenizer.EosId : Tokenizer.UnknownId]);
        return new(model, Tales, new Sequence(model.Config, new Sampler(Tales.VocabSize, 0, 0, 1)), Llama2) { Stops = stops };
    }

    private static void AssertSameState(Sequence expected, Sequence actual)
    {
        Assert.Equal(expected.Tokens, actual.Tokens);
        Assert.Equal(expected.Fed, actual.Fed);
        Assert.Equal(expected.Cache.Value(5, expected.Fed - 1), actual.Cache.Value(5, expected.Fed - 1)); // it depends on all before it
    }

    /// <summary>The cache is that of a sequence that was fed these tokens from the beginning.</summary>
    private void AssertFedAlone(Sequence sequence)
    {
        KvCache cache = new(_model.Config);
        foreach (int token in sequence.Tokens[..sequence.Fed])
            _model.Forward([new Row(token, cache)], []);
        Assert.Equal(cache.Value(5, cache.Length - 1), sequence.Cache.Value(5, cache.Length - 1));
    }

    [Fact]
    public void A_reader_that_stops_reading_leaves_the_conversation_consistent()
    {
        Conversation conversation = new(_model, Tales, NewSequence(), Plain), same = new(_model, Tales, NewSequence(), Plain);
        foreach (string _ in conversation.Say("Once upon a time", CancellationToken.None))
        {
            if (conversation.AnswerTokens == 9)
                break;
        }
        using CancellationTokenSource source = new();
        foreach (string _ in same.Say("Once upon a time", source.Token))
        {
            if (same.AnswerTokens == 9)
                source.Cancel();
        }
        Assert.Equal(TextEnd.Cancelled, conversation.End);
        Assert.Equal(same.Turns, conversation.Turns);
        Assert.Equal(Say(same, "More"), Say(conversation, "More"));
        AssertSameState(same.Sequence, conversation.Sequence);

        foreach (string _ in conversation.Say("Not said", CancellationToken.None))
            break; // before the first token of the answer, since simple feeds one token a step
        Assert.Equal(2, conversation.Turns.Count);
        AssertSameState(same.Sequence, conversation.Sequence);
    }

    [Fact]
    public void The_model_sees_the_template_and_its_own_answers()
    {
        Conversation conversation = Scripted("I am fine.", ends: true);
        Assert.Equal("I am fine.", Say(conversation, "How are you?"));
        Assert.Equal(TextEnd.Model, conversation.End);
        int[] first = [.. Llama2.Encode(Tales, "How are you?"), .. Tales.Encode("I am fine.", bos: false, blank: false)];
        Assert.Equal(first, conversation.Sequence.Tokens);
        Assert.Equal([new Turn(0, Llama2.Encode(Tales, "How are you?").Length, "How are you?", true)], conversation.Turns);
        Assert.Equal(Llama2.Encode(Tales, "Good.", first: false), conversation.Encode("Good."));
    }

    [Fact]
    public void A_stop_string_ends_an_answer_and_is_neither_shown_nor_remembered()
    {
        Conversation conversation = Scripted("One day User: Tim said", ends: true, "User:");
        Assert.Equal("One day ", Say(conversation, "Hi"));
        Assert.Equal(TextEnd.Stop, conversation.End);
        string remembered = Tales.Decode([Tokenizer.BosId, .. conversation.Sequence.Tokens[conversation.Turns[0].Answer..]]);
        Assert.StartsWith("One day", remembered, StringComparison.Ordinal);
        Assert.DoesNotContain("ser:", remembered, StringComparison.Ordinal);
    }

    [Fact]
    public void The_beginning_of_a_stop_string_is_shown_if_the_answer_ends_there()
    {
        Conversation conversation = Scripted("One day Us", ends: true, "User:");
        Assert.Equal("One day Us", Say(conversation, "Hi"));
        Assert.Equal("One day Us", Tales.Decode([Tokenizer.BosId, .. conversation.Sequence.Tokens[conversation.Turns[0].Answer..]])
            .TrimStart());
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
        Conversation conversation = new(_model, Tales, NewSequence(), Plain);
        using CancellationTokenSource source = new();
        string heard = "";
        foreach (string text in conversation.Say("Once upon a time", source.Token))
        {
            heard += text;
            if (conversation.AnswerTokens == 9)
                source.Cancel();
        }
        Assert.Equal(TextEnd.Cancelled, conversation.End);
        Assert.Equal(heard, Tales.Decode(conversation.Sequence.Tokens)["Once upon a time".Length..]);

        int before = conversation.Sequence.Tokens.Length;
        Assert.Equal("", Say(conversation, "More", source.Token));
        Assert.Equal(before, conversation.Sequence.Tokens.Length);
        Assert.Single(conversation.Turns);
    }

    [Fact]
    public void Undo_leaves_the_conversation_as_if_the_turn_had_not_been()
    {
        Conversation undone = new(_model, Tales, NewSequence(), Plain) { MaxAnswer = 30 }, never =
            new(_model, Tales, NewSequence(), Plain) { MaxAnswer = 30 };
        Say(undone, "Tom had a dog.");
        Say(never, "Tom had a dog.");
        Say(undone, "It was red.");
        Assert.Equal("It was red.", undone.Undo());
        undone.Sequence.Sampler.RandomState = never.Sequence.Sampler.RandomState;
        Assert.Equal(Say(never, "The dog ran."), Say(undone, "The dog ran."));
        AssertSameState(never.Sequence, undone.Sequence);
        undone.Undo();
        undone.Undo();
        Assert.Null(undone.Undo());
        Assert.Equal(0, undone.Sequence.Tokens.Length);
    }

    [Fact]
    public void A_message_without_room_is_refused_and_nothing_is_lost()
    {
        Conversation conversation = new(_model, Tales, NewSequence(), Plain) { MaxAnswer = 20 };
        Say(conversation, "Tom had a dog.");
        int before = conversation.Sequence.Tokens.Length;
        string book = string.Concat(Enumerable.Repeat("and they ran ", 300));
        Assert.Throws<ContextFullException>(() => Say(conversation, book));
        Assert.Equal(before, conversation.Sequence.Tokens.Length);
        Assert.Single(conversation.Turns);
    }

    [Fact]
    public void A_full_context_ends_the_answer_with_every_shown_token_remembered()
    {
        Conversation conversation = new(_model, Tales, Endless(), Plain);
        string answer = Say(conversation, "Once");
        Assert.Equal(TextEnd.Context, conversation.End);
        Assert.Equal(0, conversation.Left);
        Assert.Equal("Once" + answer, Tales.Decode(conversation.Sequence.Tokens));
    }

    [Fact]
    public void The_oldest_turns_make_room_and_it_is_said_first()
    {
        List<(int Turns, int Tokens)> dropped = [];
        Conversation conversation = new(_model, Tales, Endless(), Llama2, "Tell a story.")
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
            Assert.Equal(TextEnd.Length, conversation.End);
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
            int end = i + 1 < said.Length ? conversation.Turns[i - gone + 1].Start : conversation.Sequence.Tokens.Length;
            expected.AddRange(conversation.Sequence.Tokens[turn.Answer..end]);
            Assert.Equal(100, end - turn.Answer);
        }
        Assert.Equal(expected, conversation.Sequence.Tokens.ToArray());
        AssertFedAlone(conversation.Sequence);
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
        string fits = new('\u0002', 256 - left - around - 1);
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
            FakeModel model = FakeModel.Scripted(Tales.VocabSize, 300, Tokenizer.EosId);
            Sequence sequence = new(model.Config, new Sampler(Tales.VocabSize, 0, 0, 1));
            Conversation conversation = new(model, Tales, sequence, Llama2, "Be kind.")
            {
                DropsOldest = true,
                OnDrop = (turns, _) =>
                drops.Add(turns)
            };
            Say(conversation, "a");
            first = conversation.Sequence.Tokens.Length;
            for (int i = 1; i < Turns; i++)
                Say(conversation, "a");
            others = (conversation.Sequence.Tokens.Length - first) / (Turns - 1);
            return conversation;
        }
    }

    [Fact]
    public void Old_turns_make_room_for_an_answer_while_it_is_given()
    {
        int dropped = 0;
        Conversation conversation = new(_model, Tales, Endless(), Llama2)
        {
            DropsOldest = true,
            MaxAnswer = 300,
            OnDrop = (turns, _) => dropped += turns,
        };
        Say(conversation, "One");
        string answer = Say(conversation, "Two");
        Assert.Equal((1, TextEnd.Length, 300), (dropped, conversation.End, conversation.AnswerTokens));
        Assert.Equal("Two", Assert.Single(conversation.Turns).User);
        int[] tokens = conversation.Sequence.Tokens.ToArray(), prompt = Llama2.Encode(Tales, "Two");
        Assert.Equal(prompt, tokens[..prompt.Length]);
        Assert.Equal(300, tokens.Length - prompt.Length);
        Assert.Equal(answer.TrimStart(), Tales.Decode([Tokenizer.BosId, .. tokens[prompt.Length..]]).TrimStart());
        AssertFedAlone(conversation.Sequence);
    }

    [Fact]
    public void One_answer_longer_than_the_context_ends_even_if_old_turns_may_go()
    {
        Conversation conversation = new(_model, Tales, Endless(), Plain) { DropsOldest = true };
        Say(conversation, "Once");
        Say(conversation, "Then");
        Assert.Equal(TextEnd.Context, conversation.End);
        Assert.Equal(["Then"], conversation.Turns.Select(turn => turn.User));
    }

    [Theory]
    [InlineData("")]
    [InlineData("Be kind.")]
    public void A_saved_conversation_goes_on_with_the_same_bits(string system)
    {
        Conversation whole = new(_model, Tales, NewSequence(), Llama2, system) { MaxAnswer = 25 };
        Say(whole, "Tom had a dog.");
        string notes = ConversationNotes.Write(whole);
        using MemoryStream stream = new();
        SavedSession state = new(whole.Sequence.Tokens.ToArray(), whole.Sequence.Cache, 0.8f, 0.9f, whole.Sequence.Sampler.RandomState,
            notes);
        SessionFile.Write(stream, state, _model.Config, new byte[32], "simple");
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, stream.ToArray());
            SavedSession saved = SessionFile.Read(path, _model.Config, new byte[32], "simple");
            Sampler sampler = new(512, saved.Temperature, saved.TopP, saved.RandomState);
            ConversationNotes read = ConversationNotes.Read(path, saved);
            Assert.Equal((Llama2.Name, system), (read.Template, read.System));
            Conversation loaded = new(_model, Tales, new Sequence(_model.Config, sampler, saved.Cache, saved.Tokens), Llama2, read.System,
                read.Turns)
            { MaxAnswer = 25 };
            Assert.Equal(Say(whole, "It ran."), Say(loaded, "It ran."));
            AssertSameState(whole.Sequence, loaded.Sequence);
            Assert.Equal(whole.Turns, loaded.Turns);
            Assert.Equal(whole.Sequence.Sampler.RandomState, sampler.RandomState);
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
    [InlineData("""
        {"template":"plain","system":"","turns":[
        {"start":0,"answer":2,"user":"","ended":true},{"start":1,"answer":3,"user":"","ended":true}]}
        """)]
    public void Notes_that_do_not_fit_are_refused(string notes)
    {
        SavedSession session = new([1, 2, 3, 4], new KvCache(_model.Config), 1, 1, 1, notes);
        Assert.Equal("notes", Assert.Throws<ModelFileException>(() => ConversationNotes.Read("file", session)).Field);
    }
}
