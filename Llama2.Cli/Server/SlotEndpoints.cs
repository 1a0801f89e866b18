using System.Diagnostics;
using System.Globalization;
using Llama2.Fast.Engine;
using Llama2.Simple.Generation.Saved;

namespace Llama2.Cli.Server;

/// <summary>/slots/ID?action=save, restore and erase, as llama.cpp's: the text that a pod ran last, in a file.</summary>
internal static class SlotEndpoints
{
    public static async Task ActAsync(Call call)
    {
        if (!int.TryParse(call.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int pod) || pod >= call.Engine.Options.Pods)
            throw new ApiException(404, "not_found_error", $"expected a slot from 0 to {call.Engine.Options.Pods - 1}", code: "not_found");
        string action = call.Http.Request.Query["action"].ToString();
        bool hasBody = action != "erase" || call.Http.Request.ContentLength > 0;
        Fields fields = hasBody ? await call.ReadAsync() : Fields.Nothing;
        string key = TextRequest.SharedKey(fields, call.User);
        try
        {
            await call.WriteJsonAsync(action switch
            {
                "save" => ApiJson.Bytes(Save(call, pod, key, fields)),
                "restore" => ApiJson.Bytes(Restore(call, pod, key, fields)),
                "erase" => ApiJson.Bytes(new SlotErased(pod, call.Engine.Erase(pod, key))),
                _ => throw ApiException.Invalid("action: expected save, restore or erase", "action"),
            });
        }
        catch (PodBusyException e)
        {
            throw new ApiException(409, "conflict_error", e.Message, code: "slot_busy");
        }
    }

    private static SlotSaved Save(Call call, int pod, string key, Fields fields)
    {
        (SlotFiles files, string name) = Place(call, fields);
        long began = Stopwatch.GetTimestamp();
        SavedSession session = call.Engine.Save(pod, key) ?? throw new ApiException(404, "not_found_error",
            "the slot has no text of yours, or --cache-bytes has no room for it any more", code: "not_found");
        long bytes = files.Save(key, name, session);
        return new(pod, name, session.Tokens.Length, bytes, new(Milliseconds(began)));
    }

    private static SlotRestored Restore(Call call, int pod, string key, Fields fields)
    {
        (SlotFiles files, string name) = Place(call, fields);
        long began = Stopwatch.GetTimestamp();
        (SavedSession session, long bytes) = files.Load(key, name);
        if (!call.Engine.Restore(pod, key, session))
            throw ApiException.Invalid("filename: this text is larger than --cache-bytes", "filename");
        return new(pod, name, session.Tokens.Length, bytes, new(Milliseconds(began)));
    }

    private static (SlotFiles Files, string Name) Place(Call call, Fields fields)
    {
        SlotFiles files = call.Service.SlotFiles ?? throw new ApiException(
            501, "not_supported_error", "this server saves no slots: it was started without --slot-save-path", code: "not_supported");
        string name = fields.Text("filename") ?? throw ApiException.Invalid("filename: expected a string, found none", "filename");
        return (files, name);
    }

    private static double Milliseconds(long began) => Math.Round(Stopwatch.GetElapsedTime(began).TotalMilliseconds, 3);
}
