using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace Llama2.Tests.Simple.Formats;

public sealed class MappedFileTests
{
    private static MappedFile Open(string path) => MappedFile.Open(path);

    [Fact]
    public void A_part_of_any_alignment_is_what_lies_there_and_one_beyond_the_end_is_refused()
    {
        using TemporaryFile temporary = new([1, 0, 2, 0, 3, 0, 4]);
        using MappedFile file = Open(temporary.Path);
        Assert.Equal(7, file.Length);
        Assert.Equal([2, 3], file.Slice<ushort>(2, 2).ToArray());
        Assert.Equal([0x200, 0x300], file.Slice<ushort>(1, 2).ToArray());
        Assert.Equal(0, file.Slice<int>(7, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Slice<int>(4, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Slice<int>(0, int.MaxValue));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Slice<byte>(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Slice<byte>(0, -1));
    }

    [Fact]
    public void Parts_are_gone_once_the_file_is_closed()
    {
        using TemporaryFile temporary = new([1, 2, 3]);
        MappedFile file = Open(temporary.Path);
        ReadOnlyMemory<byte> part = file.Slice<byte>(0, 3);
        Assert.Equal([1, 2, 3], part.ToArray());
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => part.Span[0]);
        Assert.Throws<ObjectDisposedException>(() => part.Pin());
    }

    [Fact]
    public void A_pinned_part_stays_until_it_is_unpinned_however_often_the_file_is_closed()
    {
        using TemporaryFile temporary = new([1, 2, 3]);
        MappedFile file = Open(temporary.Path);
        ReadOnlyMemory<byte> part = file.Slice<byte>(0, 3);
        MemoryHandle pin = part.Pin();
        file.Dispose();
        file.Dispose();
        Assert.Equal([1, 2, 3], part.ToArray());
        pin.Dispose();
        Assert.Throws<ObjectDisposedException>(() => part.Span[0]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(1)]
    [InlineData(2)]
    public unsafe void A_resource_is_where_it_lies_or_a_copy_if_floats_cannot_lie_there(int misplaced)
    {
        byte* bytes = (byte*)NativeMemory.AlignedAlloc(16, 16);
        try
        {
            for (int i = 0; i < 16; i++)
                bytes[i] = (byte)i;
            using UnmanagedMemoryStream stream = new(bytes + misplaced, 8);
            MappedFile file = MappedFile.Of(stream);
            ReadOnlyMemory<byte> part = file.Slice<byte>(0, 8);
            Assert.Equal(8, file.Length);
            Assert.Equal(Enumerable.Range(misplaced, 8).Select(i => (byte)i), part.ToArray());
            using (MemoryHandle pin = part.Pin())
                Assert.Equal(misplaced % sizeof(float) == 0, pin.Pointer == bytes + misplaced);
            file.Dispose();
            Assert.Throws<ObjectDisposedException>(() => part.Span[0]);
        }
        finally
        {
            NativeMemory.AlignedFree(bytes);
        }
    }

    [Fact]
    public void A_path_that_can_be_none_is_refused_in_one_line()
    {
        ModelFileException error = Assert.Throws<ModelFileException>(() => Open("a\0b"));
        Assert.StartsWith("a\0b: file: expected a readable file, found ", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    [UnsupportedOSPlatform("windows")]
    public void A_file_of_somebody_else_is_refused()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess, "here all files may be read");
        using TemporaryFile temporary = new([1, 2, 3]);
        File.SetUnixFileMode(temporary.Path, UnixFileMode.None);
        Assert.Contains("expected a readable file, found access denied", Assert.Throws<ModelFileException>(() => Open(temporary.Path))
            .Message, StringComparison.Ordinal);
    }

    /// <summary>Files of holes: what an array cannot hold is refused, or left out where nobody needs it.</summary>
    [Fact]
    public void Files_longer_than_an_array_are_met_without_overflow()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "files of holes");
        using TemporaryFile tokenizer = new([1]);
        SetLength(tokenizer.Path, Array.MaxLength + 1L);
        Assert.Equal("length", Assert.Throws<ModelFileException>(() => TokenizerFile.Open(tokenizer.Path)).Field);

        CheckpointHeader header = new(0, new Config(128, 1, 1, 1, 1, 1, 1 << 24), SharedClassifier: true); // 2^31 sines and cosines
        using TemporaryFile file = new(header.ToBytes());
        SetLength(file.Path, header.FileLength);
        using Checkpoint checkpoint = Checkpoint.Open(file.Path);
        Assert.True(checkpoint.RopeTables().IsEmpty);
        Assert.Equal(128, checkpoint.Weights.RmsFinal.Length);

        static void SetLength(string path, long length)
        {
            using FileStream stream = new(path, FileMode.Open);
            stream.SetLength(length);
        }
    }
}
