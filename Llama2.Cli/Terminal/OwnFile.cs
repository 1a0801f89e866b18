using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Llama2.Cli.Terminal;

/// <summary>Tells a user's own file from one that somebody planted. .NET knows neither a file's owner nor how many names it has.</summary>
internal static class OwnFile
{
    private const int EmptyPath = 0x1000;            // AT_EMPTY_PATH: the open file itself
    private const uint LinksAndOwner = 0x4 | 0x8;    // STATX_NLINK, STATX_UID
    private const int LinksAt = 16, OwnerAt = 20;    // of struct statx, the same on every processor

    /// <summary>
    /// Whether a file has no second name (a hard link) and belongs to this user. Where there is no statx, it is not asked.
    /// </summary>
    public static bool Is(SafeFileHandle file)
    {
        byte[] status = new byte[256];
        return !OperatingSystem.IsLinux() || (statx((int)file.DangerousGetHandle(), [0], EmptyPath, LinksAndOwner, status) == 0
            && BitConverter.ToUInt32(status, LinksAt) == 1 && BitConverter.ToUInt32(status, OwnerAt) == geteuid());
    }

#pragma warning disable SYSLIB1054, CA5392, IDE1006 // LibraryImport would need unsafe code; names are libc's
    [DllImport("libc")]
    private static extern int statx(int folder, byte[] path, int flags, uint mask, [Out] byte[] status);

    [DllImport("libc")]
    private static extern uint geteuid();
#pragma warning restore SYSLIB1054, CA5392, IDE1006
}
