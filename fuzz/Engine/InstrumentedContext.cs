using System.Reflection;
using System.Runtime.Loader;

namespace Llama2.Fuzz.Engine;

/// <summary>
/// Loads this program a second time, its targets beside instrumented copies of the assemblies they try. The engine itself
/// stays outside, and uninstrumented.
/// </summary>
internal sealed class InstrumentedContext(EdgeMap edges) : AssemblyLoadContext("instrumented")
{
    private static readonly string[] Tried = ["Llama2.Simple", "Llama2.Fast", "llama2"];
    private static readonly string Self = typeof(InstrumentedContext).Assembly.GetName().Name!;

    private readonly Dictionary<string, Range> _edgesOf = [];

    /// <summary>A target of the second copy.</summary>
    public TargetAction Load(Target target)
    {
        foreach (string name in Tried) // all of them now, so that their edges are counted also where no run comes
            LoadFromAssemblyName(new AssemblyName(name));
        MethodInfo method = LoadFromAssemblyName(new AssemblyName(Self)).GetType(target.Run.Method.DeclaringType!.FullName!)!
            .GetMethod(target.Run.Method.Name, BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)!;
        return method.CreateDelegate<TargetAction>();
    }

    /// <summary>Edges taken so far, for each assembly: "Llama2.Simple 120/800".</summary>
    public string Coverage() =>
        string.Join(", ", Tried.Select(name => $"{name} {edges.CoveredIn(_edgesOf[name])}/{_edgesOf[name].End.Value - _edgesOf[name].Start.Value}"));

    protected override Assembly? Load(AssemblyName assemblyName)
    {
        string name = assemblyName.Name!;
        if (name != Self && !Tried.Contains(name))
            return null;
        int first = edges.Count;
        using MemoryStream image = Instrumenter.Instrument(
            Path.Combine(AppContext.BaseDirectory, name + ".dll"),
            type => name != Self || type.FullName.StartsWith(typeof(Targets.Planted).Namespace!, StringComparison.Ordinal),
            edges);
        _edgesOf[name] = first..edges.Count;
        return LoadFromStream(image);
    }
}
