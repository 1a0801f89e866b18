using System.Diagnostics;
using System.IO.Pipes;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Llama2.Fuzz.Engine;

/// <summary>
/// AFL's fork-server protocol, for afl-fuzz without SharpFuzz: a server on file descriptors 198 and 199 that passes each run
/// to a worker process, which counts edges in AFL's shared memory. The worker lives until an input kills it or AFL does.
/// </summary>
internal static partial class AflForkServer
{
    private const int ControlDescriptor = 198, StatusDescriptor = 199;
    private const string SharedMemoryVariable = "__AFL_SHM_ID";
    private const int Aborted = 6; // a wait status: killed by SIGABRT, which AFL takes for a crash

    /// <summary>Serves AFL until it goes away.</summary>
    /// <returns>False if AFL did not start this process.</returns>
    public static bool Run(Target target)
    {
        if (!int.TryParse(Environment.GetEnvironmentVariable(SharedMemoryVariable), out int sharedMemory))
            return false;
        if (Environment.GetEnvironmentVariable(Supervisor.WorkerVariable)?.Split(',') is [string control, string status])
            Work(target, sharedMemory, control, status);
        else
            Serve(target);
        return true;
    }

    private static void Serve(Target target)
    {
        using BinaryReader afl = new(new FileStream(new SafeFileHandle(ControlDescriptor, ownsHandle: false), FileAccess.Read, bufferSize: 0));
        using BinaryWriter toAfl = new(new FileStream(new SafeFileHandle(StatusDescriptor, ownsHandle: false), FileAccess.Write, bufferSize: 0));
        try
        {
            toAfl.Write(0); // here we are, without options
            while (true)
            {
                using AnonymousPipeServerStream control = new(PipeDirection.Out, HandleInheritability.Inheritable);
                using AnonymousPipeServerStream status = new(PipeDirection.In, HandleInheritability.Inheritable);
                using Process worker = Supervisor.Start([target.Name], $"{control.GetClientHandleAsString()},{status.GetClientHandleAsString()}");
                _ = worker.StandardError.ReadToEndAsync();
                control.DisposeLocalCopyOfClientHandle();
                status.DisposeLocalCopyOfClientHandle();
                try
                {
                    PassOn(afl, toAfl, worker, control, status);
                }
                finally
                {
                    worker.Kill(); // nobody asks it for more
                }
            }
        }
        catch (IOException)
        {
            // AFL has gone
        }
    }

    /// <summary>Passes runs on until the worker dies.</summary>
    private static void PassOn(BinaryReader afl, BinaryWriter toAfl, Process worker, AnonymousPipeServerStream control, AnonymousPipeServerStream status)
    {
        while (true)
        {
            afl.ReadInt32();
            toAfl.Write(worker.Id);
            int result = -1;
            try
            {
                control.WriteByte(1);
                result = status.ReadByte();
            }
            catch (IOException)
            {
                // it died before it was asked
            }
            toAfl.Write(result < 0 ? Aborted : result);
            if (result < 0)
                return;
        }
    }

    private static unsafe void Work(Target target, int sharedMemory, string control, string status)
    {
        EdgeMap edges = new((byte*)AttachSharedMemory(sharedMemory, 0, 0));
        TargetAction run = new InstrumentedContext(edges).Load(target);
        using AnonymousPipeClientStream asked = new(PipeDirection.In, control);
        using AnonymousPipeClientStream answer = new(PipeDirection.Out, status);
        using Stream input = Console.OpenStandardInput();
        using MemoryStream data = new();
        while (asked.ReadByte() >= 0)
        {
            data.SetLength(0);
            input.CopyTo(data);
            int result = 0;
            try
            {
                run(data.GetBuffer().AsSpan(0, (int)data.Length));
            }
            catch (Exception)
            {
                result = Aborted;
            }
            answer.WriteByte((byte)result);
        }
    }

    [LibraryImport("libc", EntryPoint = "shmat")]
    private static partial nint AttachSharedMemory(int id, nint address, int flags);
}
