#!/usr/bin/env bash
# Fuzzes one target with another fuzzer than our own; options after the target are that fuzzer's.
#   fuzz/run.sh afl TARGET           afl-fuzz (Debian: afl++), code instrumented by SharpFuzz
#   fuzz/run.sh libfuzzer TARGET     libfuzzer-dotnet, code instrumented by SharpFuzz
#   fuzz/run.sh afl-alone TARGET     afl-fuzz, code instrumented by this program: no SharpFuzz needed
set -eu
cd "$(dirname "$0")"
usage() { sed -n '2,5s/^# *//p' "$0" >&2; exit 1; }
[ $# -ge 2 ] || usage
engine=$1 target=$2
shift 2
[ -d "corpus/$target" ] || { echo "no corpus/$target" >&2; exit 1; }
bin=$PWD/findings/bin/$engine

need() { command -v "$1" >/dev/null || { echo "$1 is not on the PATH: $2" >&2; exit 1; }; }

build_with_sharpfuzz() {
    need sharpfuzz "dotnet tool install --global SharpFuzz.CommandLine --version 2.3.0"
    rm -rf "$bin"
    dotnet publish -c Release -v quiet -p:SharpFuzz=true -o "$bin"
    for assembly in Llama2.Simple Llama2.Fast llama2; do sharpfuzz "$bin/$assembly.dll"; done
}

run_afl() {
    need afl-fuzz "apt install afl++"
    # The program is no instrumented binary itself, and tells AFL of crashes itself, not through core dumps.
    export AFL_SKIP_BIN_CHECK=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_SKIP_CPUFREQ=1
    mkdir -p "findings/$target"
    exec afl-fuzz -i "corpus/$target" -o "findings/$target/$engine" -t 5000 -m none "$@" -- dotnet "$bin/Llama2.Fuzz.dll" "$target"
}

case $engine in
afl)
    build_with_sharpfuzz
    run_afl "$@"
    ;;
afl-alone)
    dotnet publish -c Release -v quiet -o "$bin"
    run_afl "$@"
    ;;
libfuzzer)
    need libfuzzer-dotnet "github.com/Metalnem/libfuzzer-dotnet"
    build_with_sharpfuzz
    mkdir -p "findings/$target/libfuzzer"
    exec libfuzzer-dotnet --target_path=dotnet --target_arg="$bin/Llama2.Fuzz.dll $target" \
        -timeout=1 -rss_limit_mb=0 -artifact_prefix="findings/$target/libfuzzer/" "$@" "findings/$target/libfuzzer" "corpus/$target"
    ;;
*) usage ;;
esac
