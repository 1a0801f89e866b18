using System.Runtime.Versioning;

namespace Llama2.Tests.Cli;

/// <summary>A file is there when it is complete, or stays as it was.</summary>
public sealed class AtomicFileTests : FolderTests
{
    private string Target => At("file");

    [Fact]
    public void The_old_file_is_replaced_when_all_is_written()
    {
        File.WriteAllText(Target, "before");
        AtomicFile.Write(Target, stream =>
        {
            stream.Write("after"u8);
            Assert.Equal("before", File.ReadAllText(Target));
        });
        Assert.Equal("after", File.ReadAllText(Target));
        Assert.Single(Directory.GetFiles(Folder));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_error_half_way_leaves_what_was_there(bool existed)
    {
        if (existed)
            File.WriteAllText(Target, "before");
        Assert.Throws<OperationCanceledException>(() => AtomicFile.Write(Target, stream =>
        {
            stream.Write("after"u8);
            throw new OperationCanceledException();
        }));
        Assert.Equal(existed ? ["file"] : [], Directory.GetFiles(Folder).Select(Path.GetFileName));
        if (existed)
            Assert.Equal("before", File.ReadAllText(Target));
    }

    [Fact]
    public void A_link_stays_a_link()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        string folder = Directory.CreateDirectory(At("folder")).FullName;
        File.WriteAllText(Path.Combine(folder, "real"), "before");
        File.CreateSymbolicLink(Target, Path.Combine("folder", "real"));
        AtomicFile.Write(Target, stream => stream.Write("after"u8));
        Assert.Equal("after", File.ReadAllText(Path.Combine(folder, "real")));
        Assert.NotNull(new FileInfo(Target).LinkTarget);
    }

    [Fact]
    public void A_link_to_what_is_not_there_yet_gets_its_file()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        File.CreateSymbolicLink(Target, "new");
        AtomicFile.Write(Target, stream => stream.Write("after"u8));
        Assert.Equal("after", File.ReadAllText(At("new")));
        Assert.NotNull(new FileInfo(Target).LinkTarget);
        string other = At("other");
        File.CreateSymbolicLink(other, Path.Combine("no", "such"));
        AssertRefused(other, "there is no such folder");
    }

    [Fact]
    public void One_place_under_two_names_is_the_same()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        string folder = Directory.CreateDirectory(At("folder")).FullName;
        File.CreateSymbolicLink(At("other"), folder);
        File.CreateSymbolicLink(Target, Path.Combine("other", "real"));
        Assert.True(AtomicFile.IsSame(Path.Combine(folder, "real"), Path.Combine(folder, "..", "other", "real")));
        Assert.True(AtomicFile.IsSame(Path.Combine(folder, "real"), Target));
        Assert.False(AtomicFile.IsSame(Path.Combine(folder, "real"), Path.Combine(folder, "unreal")));
    }

    [Fact]
    public void A_loop_of_links_is_an_error_in_one_line()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        File.CreateSymbolicLink(Target, Target);
        AssertRefused(Target, "too many levels of symbolic links");
        Assert.StartsWith($"{Target}: cannot be written: ",
            Assert.Throws<OutputException>(() => AtomicFile.IsSame(Folder, Target)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_folder_is_an_error_in_one_line()
    {
        AssertRefused(Path.Combine(Target, "no", "such"), "there is no such folder");
        Assert.Empty(Directory.GetFiles(Folder));
    }

    [Fact]
    public void A_full_device_or_a_folder_is_an_error_in_one_line()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /dev/full and Linux's messages");
        AssertRefused("/dev/full", "No space left on device");
        AssertRefused(Folder, "Is a directory");
        Assert.Empty(Directory.GetFiles(Folder));
    }

    [Fact]
    public void A_link_under_a_name_that_can_be_guessed_is_not_followed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need rights there");
        string victim = At("victim");
        File.WriteAllText(victim, "mine");
        foreach (string guess in new[] { $"{Target}.{Environment.ProcessId}.tmp", Target + ".tmp", Target + ".part" })
            File.CreateSymbolicLink(guess, victim);
        AtomicFile.Write(Target, stream => stream.Write("after"u8));
        Assert.Equal(("after", "mine"), (File.ReadAllText(Target), File.ReadAllText(victim)));
    }

    [Theory]
    [InlineData(null, UnixFileMode.UserRead | UnixFileMode.UserWrite)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite, null)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite, null)]
    [UnsupportedOSPlatform("windows")]
    public void Permissions_are_those_of_what_is_replaced_or_those_of_a_new_file(UnixFileMode? before, UnixFileMode? mode)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "has no such permissions");
        if (before is not null)
        {
            File.WriteAllText(Target, "before");
            File.SetUnixFileMode(Target, before.Value);
        }
        AtomicFile.Write(Target, stream => stream.Write("after"u8), mode);
        Assert.Equal(before ?? mode, File.GetUnixFileMode(Target));
    }

    [Fact]
    public void What_lies_under_dev_is_not_therefore_a_device()
    {
        Assert.SkipUnless(Directory.Exists("/dev/shm"), "needs /dev/shm");
        string path = Path.Combine("/dev/shm", Path.GetRandomFileName());
        try
        {
            File.WriteAllText(path, "what was there before");
            AtomicFile.Write(path, stream =>
            {
                stream.Write("after"u8);
                stream.Flush();
                Assert.Equal("what was there before", File.ReadAllText(path));
            });
            Assert.Equal("after", File.ReadAllText(path));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_name_that_can_be_none_is_an_error_in_one_line()
    {
        AssertRefused("a\0b", "Null character in path.");
        Assert.False(AtomicFile.HasFolder("a\0b"));
    }

    [Fact]
    public void A_device_is_written_and_stays_a_device()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs /dev/null");
        AtomicFile.Write("/dev/null", stream => stream.Write("after"u8));
        Assert.Equal("", File.ReadAllText("/dev/null"));
    }

    private static void AssertRefused(string path, string reason)
    {
        OutputException e = Assert.Throws<OutputException>(() => AtomicFile.Write(path, stream => stream.Write("after"u8)));
        Assert.Equal($"{path}: cannot be written: {reason}", e.Message);
    }
}
