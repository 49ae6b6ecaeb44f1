#!/usr/bin/env bash
# What only a GPU can tell, in one command of eight minutes: tests/gpu, then time and memory of
# trainings and predictions with each option, as a table at the end.
#   tools/gpu_check.sh                      # R50 of COCO at 1281 x 1281
#   SIZE=129 LIMIT=240 tools/gpu_check.sh   # quickly, to see that it runs
# It needs no network and no kept compilations. PYTHON names the interpreter, OUT the folder of the
# results, LIMIT the seconds for all of it, LONGEST those for one measurement.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
python=${PYTHON:-python} size=${SIZE:-1281} runs=${RUNS:-10} limit=${LIMIT:-460} longest=${LONGEST:-200}
config=${CONFIG:-configs/coco/panoptic_segmentation/kmax_r50.yaml}
out=${OUT:-$(mktemp -d)}
failed=0 number=0 results=()

within_limit() {  # runs a command for as long as is left
    local left=$((limit - SECONDS))
    left=$((left < longest ? left : longest))
    if [ "$left" -lt 10 ]; then
        echo "== left out, no time: ${*:2}"
        return
    fi
    echo "== $((SECONDS)) s: ${*:2}"
    timeout "$left" "$@" || { failed=1; echo "== failed or out of time"; }
}

measure() {  # subcommand, height, width, words
    number=$((number + 1))
    local json=$out/$number.json
    within_limit "$python" tools/benchmark.py "$1" --config-file "$config" --size "$2" "$3" \
        --runs "$runs" --json "$json" "${@:4}"
    [ -f "$json" ] && results+=("$json")
}

amp="SOLVER.AMP.ENABLED True"
half="TEST.AMP.ENABLED True"
compile="MODEL.KMAX_DEEPLAB.COMPILE"
compiled="compiled or inductor"
within_limit "$python" -m pytest -q tests/gpu -k "not ($compiled)"
# Options are several words on purpose.
# shellcheck disable=SC2086
{
    measure train "$size" "$size" --batch 2 $amp $compile inductor
    measure inference "$size" "$size" --batch 1 $half $compile reduce-overhead
    measure postprocess 480 640
    measure train "$size" "$size" --batch 8 $amp $compile inductor
    measure inference "$size" "$size" --batch 8 $half $compile inductor
    # each option by itself
    measure train "$size" "$size" --batch 2 $amp
    measure train "$size" "$size" --batch 2 $amp SOLVER.AMP.DTYPE bfloat16
    measure train "$size" "$size" --batch 2 $amp MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS True
    measure train "$size" "$size" --batch 2 SOLVER.AMP.ENABLED False
    measure inference "$size" "$size" --batch 1 $half
    measure inference "$size" "$size" --batch 1
    measure inference "$size" "$size" --batch 8 $half
}
within_limit "$python" -m pytest -q tests/gpu -k "$compiled"
echo
[ ${#results[@]} -gt 0 ] && "$python" tools/benchmark.py table "${results[@]}"
exit $failed
