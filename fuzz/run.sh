#!/usr/bin/env bash
# Fuzzes one target with a fuzzer of its own right; options after the target are that fuzzer's. SharpFuzz instruments the code.
#   fuzz/run.sh TARGET               afl-fuzz (Debian: afl++)
#   fuzz/run.sh libfuzzer TARGET     libfuzzer-dotnet (github.com/Metalnem/libfuzzer-dotnet)
set -eu
cd "$(dirname "$0")"
fuzzer=afl-fuzz
[ "${1-}" != libfuzzer ] || { fuzzer=libfuzzer-dotnet; shift; }
target=${1-}
corpus=corpus/$target
if [ "$target" = Planted ]; then corpus=$(mktemp -d) && echo 000000000000000 >"$corpus/seed"; fi
[ -n "$target" ] && [ -d "$corpus" ] || { sed -n '2,4s/^# *//p' run.sh >&2; dotnet run -c Release >&2; exit 1; }
shift
command -v $fuzzer >/dev/null || { echo "$fuzzer is not on the PATH" >&2; exit 1; }

program=$PWD/findings/instrumented/$target-$fuzzer out=findings/$target/$fuzzer words=words/$target.dict
rm -rf "$program" # what is left of a run before may still use the old files
dotnet run -c Release -- instrument "$program"
mkdir -p "$out"
if [ $fuzzer = afl-fuzz ]; then
    # afl-fuzz sees a program that is not instrumented itself, and that reports crashes itself instead of dumping core.
    export AFL_SKIP_BIN_CHECK=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_SKIP_CPUFREQ=1
    [ ! -f "$words" ] || set -- -x "$words" "$@"
    exec afl-fuzz -i "$corpus" -o "$out" -t 10000 -m none "$@" -- dotnet "$program/Llama2.Fuzz.dll" "$target"
else
    # libfuzzer-dotnet passes a single argument, so that the target cannot be "dotnet Llama2.Fuzz.dll TARGET".
    export DOTNET_ROOT=${DOTNET_ROOT:-$(dirname "$(readlink -f "$(command -v dotnet)")")}
    [ ! -f "$words" ] || set -- -dict="$words" "$@"
    set -m # a process group of its own: libFuzzer ends at an endless loop, and the target would go on looping
    libfuzzer-dotnet --target_path="$program/Llama2.Fuzz" --target_arg="$target" \
        -timeout=10 -rss_limit_mb=0 -artifact_prefix="$out/" "$@" "$out" "$corpus" &
    trap 'kill -INT $!' INT TERM
    while kill -0 $! 2>/dev/null; do wait $! && code=0 || code=$?; done
    kill -KILL -- -$! 2>/dev/null || true
    exit $code
fi
