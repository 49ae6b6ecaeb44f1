#!/usr/bin/env bash
# What only a GPU can tell, in one command: tests/gpu, then time and memory by stage with each option.
#   tools/gpu_check.sh                      # R50 of COCO at 1281 x 1281, minutes
#   SIZE=129 BATCHES=2 tools/gpu_check.sh   # quickly, to see that it runs
# It needs no network. PYTHON names the interpreter.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python} size=${SIZE:-1281} runs=${RUNS:-5}
config=${CONFIG:-configs/coco/panoptic_segmentation/kmax_r50.yaml}
failed=0

measure() {
    echo "== $*"
    "$python" tools/benchmark.py "$1" --config-file "$config" --size "$size" "$size" --runs "$runs" \
        "${@:2}" || failed=1
}

"$python" -m pytest -q tests/gpu || failed=1
half="SOLVER.AMP.ENABLED True"
last="MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT True"
for batch in ${BATCHES:-2 8}; do
    # Each option is several words on purpose.
    # shellcheck disable=SC2086
    {
        measure train --batch "$batch" $half
        measure train --batch "$batch" $half $last
        measure train --batch "$batch" $half $last SOLVER.AMP.DTYPE bfloat16
        measure train --batch "$batch" $half $last MODEL.KMAX_DEEPLAB.COMPILE inductor
    }
done
for batch in 1 8; do
    measure inference --batch "$batch"
    # shellcheck disable=SC2086
    measure inference --batch "$batch" $last MODEL.KMAX_DEEPLAB.COMPILE inductor
done
measure postprocess
exit $failed
