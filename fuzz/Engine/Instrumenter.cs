using Mono.Cecil;
using Mono.Cecil.Cil;
using Mono.Cecil.Rocks;

namespace Llama2.Fuzz.Engine;

/// <summary>
/// Rewrites an assembly so that each edge of each method counts itself in an <see cref="EdgeMap"/>: the entry, both ways of
/// every conditional branch, every case of a switch, and every handler. A counter's address is a constant in the code, so
/// counting is a single increment.
/// </summary>
internal static class Instrumenter
{
    /// <summary>The rewritten assembly, as an image to load.</summary>
    public static MemoryStream Instrument(string path, Func<TypeDefinition, bool> wanted, EdgeMap edges)
    {
        using AssemblyDefinition assembly = AssemblyDefinition.ReadAssembly(path);
        foreach (MethodDefinition method in assembly.MainModule.GetTypes().Where(wanted).SelectMany(t => t.Methods).Where(m => m.HasBody))
            Instrument(method.Body, edges);
        MemoryStream image = new();
        assembly.Write(image);
        image.Position = 0;
        return image;
    }

    private static void Instrument(MethodBody body, EdgeMap edges)
    {
        body.SimplifyMacros(); // no short branches: what is inserted moves their targets away
        ILProcessor il = body.GetILProcessor();
        // before anything moves
        (Instruction Start, int First, int End)[] tries = [.. body.ExceptionHandlers.Select(h => (h.TryStart, h.TryStart.Offset, h.TryEnd.Offset))];
        foreach (Instruction instruction in body.Instructions.ToArray())
        {
            if (instruction.OpCode.FlowControl != FlowControl.Cond_Branch)
                continue;
            if (instruction.Operand is Instruction target)
                instruction.Operand = CountTaken(il, instruction, target, edges, tries);
            else if (instruction.Operand is Instruction[] targets)
                instruction.Operand = Array.ConvertAll(targets, t => CountTaken(il, instruction, t, edges, tries));
            InsertAfter(il, instruction, edges);
        }
        foreach (ExceptionHandler handler in body.ExceptionHandlers)
        {
            if (handler.HandlerStart.OpCode.FlowControl == FlowControl.Next)
                InsertAfter(il, handler.HandlerStart, edges);
        }
        Instruction first = body.Instructions[0];
        foreach (Instruction counting in Counter(il, edges))
            il.InsertBefore(first, counting);
        body.OptimizeMacros();
    }

    private static void InsertAfter(ILProcessor il, Instruction instruction, EdgeMap edges)
    {
        foreach (Instruction counting in Counter(il, edges).Reverse())
            il.InsertAfter(instruction, counting);
    }

    /// <summary>Puts a counter in front of <paramref name="target"/> that only this branch reaches, and returns its start.</summary>
    private static Instruction CountTaken(ILProcessor il, Instruction branch, Instruction target, EdgeMap edges, (Instruction Start, int First, int End)[] tries)
    {
        // A loop to the first instruction of its own try block cannot leave the block for a counter in front of it.
        if (tries.Any(t => t.Start == target && t.First <= branch.Offset && branch.Offset < t.End))
            return target;

        List<Instruction> inserted = [.. Counter(il, edges), il.Create(OpCodes.Br, target)];
        Instruction start = inserted[0];
        if (target.Previous is { } previous && previous.OpCode.FlowControl is not (FlowControl.Branch or FlowControl.Return or FlowControl.Throw))
            inserted.Insert(0, il.Create(OpCodes.Br, target)); // who falls through has not taken the branch
        foreach (Instruction instruction in inserted)
            il.InsertBefore(target, instruction);
        foreach (ExceptionHandler handler in il.Body.ExceptionHandlers)
        {
            // an end is exclusive: what was inserted is behind the block, like its target
            handler.TryEnd = handler.TryEnd == target ? inserted[0] : handler.TryEnd;
            handler.HandlerEnd = handler.HandlerEnd == target ? inserted[0] : handler.HandlerEnd;
        }
        return start;
    }

    private static Instruction[] Counter(ILProcessor il, EdgeMap edges) =>
    [
        il.Create(OpCodes.Ldc_I8, (long)edges.NextCounter()),
        il.Create(OpCodes.Conv_U),
        il.Create(OpCodes.Dup),
        il.Create(OpCodes.Ldind_U1),
        il.Create(OpCodes.Ldc_I4_1),
        il.Create(OpCodes.Add),
        il.Create(OpCodes.Conv_U1),
        il.Create(OpCodes.Stind_I1),
    ];
}
