#!/usr/bin/env bash
# Breaks the code in one place at a time and runs the tests: each of these mutants must be noticed.
#   fuzz/mutants.sh [NAME ...]
# Works on a copy of the last commit. A mutant is one line: its name, its file, and a sed command that must change it.
set -eu
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git archive HEAD | tar -x -C "$copy"
cd "$copy"
git init -q && git add -A
tests=Llama2.Tests/bin/Release/net10.0
echo "building ..."
dotnet build -c Release -v quiet Llama2.Tests >/dev/null
mkdir whole && cp $tests/Llama2.*.dll whole

# The tests of formats, numbers and models; those of commands and benchmarks see no more of them.
suite() {
    dotnet "$tests/Llama2.Tests.dll" -noLogo -noColor -stopOnFail -class 'Llama2.Tests.Simple.*' -class 'Llama2.Tests.Properties.*' \
        -class 'Llama2.Tests.Golden.*' -class 'Llama2.Tests.Fast.*' -class 'Llama2.Tests.Fuzz.CorpusTests' >"$copy/log" 2>&1
}

suite || { tail -20 "$copy/log"; echo "the tests fail without any mutant"; exit 1; }

missed=0
try() { # try NAME FILE SED
    local project=${2%%/*} test
    sed -i -E "$3" "$2"
    git diff --quiet -- "$2" && { echo "NO CHANGE  $1: $2 has no such line"; missed=$((missed + 1)); return; }
    if ! dotnet build -c Release -v quiet --no-restore "$project" >"$copy/log" 2>&1; then
        tail -3 "$copy/log"
        echo "NO BUILD   $1"
        missed=$((missed + 1))
    elif cp "$project/bin/Release/net10.0/$project.dll" "$tests/" && suite; then
        echo "MISSED     $1"
        missed=$((missed + 1))
    else
        test=$(sed -nE '/\[FAIL\]/{s/^ *(Llama2\.Tests\.)?([A-Za-z0-9_.]+).*/\2/p;q}' "$copy/log")
        echo "noticed    $1, by ${test:-the end of the process: $(tail -1 "$copy/log")}"
    fi
    git checkout -q -- "$2"
    cp "whole/$project.dll" "$tests/"
}

while IFS='|' read -r name file command; do
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    try "$name" "$file" "$command"
done <<'MUTANTS'
wrong-lane-order|Llama2.Fast/Kernels/Lanes/Lanes128.cs|s/a\._a \+ a\._c \+ \(a\._b \+ a\._d\)/a._a + a._b + (a._c + a._d)/
dropped-tail|Llama2.Fast/Kernels/MatMul.cs|s/rest = n % Lanes.Count;/rest = 0;/
less-for-less-or-equal|Llama2.Simple/Formats/Llama2C/TokenizerFile.cs|s/length > bytes.Length\)/length >= bytes.Length)/
scale-of-the-neighbouring-group|Llama2.Fast/Kernels/MatMulInt8.cs|s/scales\[2 \* scalesApart\]/scales[2 * scalesApart + 1]/
rope-pair-swapped|Llama2.Fast/Pass/Rope.cs|s/float v0 = vec\[j\], v1 = vec\[j \+ 1\]/float v1 = vec[j], v0 = vec[j + 1]/
gqa-head-off-by-one|Llama2.Fast/Kernels/Attention.cs|s/Values \+ kvHead \*/Values + (kvHead + 1) % heads.KvHeads */
missing-bound-check|Llama2.Simple/Formats/Llama2C/CheckpointHeader.cs|s/tensor.Elements % tensor.GroupSize != 0/tensor.Elements < 0/
unsigned-shift-made-signed|Llama2.Simple/Sampler.cs|s/state \^= state >> 12;/state ^= (ulong)((long)state >> 12);/
causal-mask-off-by-one|Llama2.Fast/Kernels/Attention.cs|s/Position \+ token \+ 1/Position + Math.Min(token + 2, heads.Tokens)/
cache-position-off-by-one|Llama2.Fast/Pass/Qkv.cs|s/cache.Value\(_layer, position\)/cache.Value(_layer, Math.Max(0, position - 1))/
cache-loses-a-row|Llama2.Simple/KvCache.cs|s/old.AsSpan\(0, Length \* /old.AsSpan(0, Math.Max(0, Length - 1) * /
groups-begin-at-each-row|Llama2.Simple/Tensors/Q8GroupsTensor.cs|s/\(wGroup \+ 1L\) \* GroupSize - start, /long.MaxValue, /
scales-of-other-rows|Llama2.Simple/Formats/Llama2C/CheckpointWriter.cs|s/row \* spec.Columns \/ spec.GroupSize\);/row * spec.Columns \/ spec.GroupSize \/ 2);/
session-values-are-keys|Llama2.Simple/Generation/Saved/SessionFile.cs|s/session.Cache.Values\(layer\)/session.Cache.Keys(layer)/
rightmost-merge|Llama2.Simple/Tokenizer.cs|s/_scores\[id\] > bestScore/_scores[id] >= bestScore/
rightmost-merge-of-fast|Llama2.Fast/MergeHeap.cs|s/a.Index.CompareTo\(b.Index\)/b.Index.CompareTo(a.Index)/
coin-of-23-bits|Llama2.Simple/Sampler.cs|s/>> 8\) \/ 16777216/>> 9) \/ 8388608/
penalty-of-small-negative-logits|Llama2.Simple/Generation/LogitFilters.cs|s/logits\[token\] > 0 \?/logits[token] > -1 ?/
shortlist-bound-of-the-weights|Llama2.Fast/Pass/Shortlist.cs|s/HalfStep = 0\.501/HalfStep = 0.4/
shortlist-bound-of-the-state|Llama2.Fast/Pass/Shortlist.cs|s/error = Math.Sqrt\(squaresOfErrors\)/error = 0.7 * Math.Sqrt(squaresOfErrors)/
shortlist-bound-of-denormals|Llama2.Fast/Pass/Shortlist.cs|s/ \+ n \* VanishingSquare\)/)/
draft-accepted-unseen|Llama2.Simple/Generation/Speculation/RowsAhead.cs|s/isRight = sequence/isRight = _taken == count - 1 || sequence/
drafts-stay-in-the-cache|Llama2.Simple/Generation/Sequence.cs|s/Cache.Truncate\(Fed - _ahead.Tokens.Length\);/Cache.Truncate(Fed);/
two-coins-a-token|Llama2.Simple/Generation/Speculation/RowsAhead.cs|s/sequence.Sampler.RandomState = _randomState;/_ = _randomState;/
MUTANTS

echo "$missed missed"
[ "$missed" = 0 ]
