#!/usr/bin/env bash
# What a machine with an NVIDIA GPU is asked once: kernels, a step, a training, a search. 8 minutes.
#
#   benchmarks/gpu.sh [--dry] [--list] [--out DIR] [--python PROGRAM]
#
# Each part has a limit of its own in seconds. The log and the tables go to results/gpu, or --out DIR.
# --list prints the parts and does nothing. --dry goes through the same steps on a CPU, with a network
# of two frames, to see that the script itself works: it says nothing about a GPU.
set -u

cd "$(dirname "$0")/.." || exit 1
dry="" list="" out=results/gpu python=${PYTHON:-.venv/bin/python}
while [ $# -gt 0 ]; do
  case $1 in
    --dry) dry=yes ;;
    --list) list=yes ;;
    --out) out=$2; shift ;;
    --python) python=$2; shift ;;
    *) echo "gpu.sh: unknown flag $1; there are --dry, --list, --out DIR and --python PROGRAM" >&2
       exit 2 ;;
  esac
  shift
done

# name, limit in seconds, title; the limits add up to less than 8 minutes
PARTS="
triton 110 the kernels' tests, which \`make test-triton\` runs
step 150 a training step beside eager pytorchvideo's
train 110 a training under bfloat16 autocast, killed and resumed
search 90 a search to 4 GFLOPs, begun
"
if [ "$list" ]; then
  echo "$PARTS" | while read -r name limit title; do
    [ "$name" ] && printf '%-8s %4s s  %s\n' "$name" "$limit" "$title"
  done
  exit 0
fi

device=cuda network=x3d-s budget=4GFLOPs length="--epochs 40 --batch 16" visits=1000
if [ "$dry" ]; then
  device=cpu budget=0.021GFLOPs length="--epochs 6 --batch 8" visits=8
elif ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "not run: torch sees no NVIDIA GPU here"
  exit 2
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" || exit 1
log=$out/run.txt
export EXPAND3D_CACHE=$work/cache PYTHONPATH=$PWD PYTHONUNBUFFERED=1

# 64 small clips of two classes, and a network of two frames for the dry run.
"$python" - "$work" <<'MADE' || exit 1
import sys
from pathlib import Path

from tests.helpers.exported import exported
from tests.helpers.made_videos import write_data_set

names = tuple(f"class{number}" for number in range(2))
write_data_set(Path(sys.argv[1]) / "videos", clips=64, classes=2, frames=40)
exported(Path(sys.argv[1]) / "tiny", classes=names)
MADE
[ "$dry" ] && network=$work/tiny
videos=$work/videos/manifest.csv

triton() {
  if [ "$dry" ]; then
    "$python" -m pytest -q --collect-only tests/networks/ops/test_triton.py
  else
    "$python" -m pytest -q -p no:cacheprovider tests/networks/ops/test_triton.py
  fi
}

step() {
  local by=.venv-peers/bin/python beside=""
  [ -x "$by" ] || { by=$python; beside=--alone; }
  "$by" benchmarks/gpu_step.py --repeats 10 $beside --csv "$out/step.csv"
  local status=$?
  [ "$dry" ] && [ $status = 2 ] && return 0  # it says itself that there is no GPU
  return $status
}

train() {
  set -- "$python" -m expand3d train "$network" --data "$videos" --profile final $length \
    --amp on --device $device --threads 1 --out "$work/trained"
  "$@" &
  local pid=$!
  until [ -e "$work/trained/checkpoint.pt" ]; do
    kill -0 $pid 2>/dev/null || { echo "it ended before there was a checkpoint"; return 1; }
    sleep 0.05
  done
  kill -9 $pid 2>/dev/null
  wait $pid
  local status=$?
  [ $status = 137 ] || { echo "it ended with $status before it was killed"; return 1; }
  echo "killed with a checkpoint, after $(wc -l < "$work/trained/train.jsonl") steps or fewer; again:"
  "$@" || return 1
  [ -e "$work/trained/weights.safetensors" ] && [ ! -e "$work/trained/checkpoint.pt" ]
}

search() {
  # Stopped a little before the part's limit, as by Ctrl-C, so that the record can be looked at.
  timeout --kill-after=10 $((limit - 20)) \
    "$python" -m expand3d run --budget $budget --data "$videos" --study gpu \
    --root "$work/studies" --device $device --threads 1 --no-final \
    --recipe clip_visits=$visits --recipe batch=8 --recipe bn_batch=8
  local status=$?
  "$python" -m expand3d status gpu --root "$work/studies" || return 1
  [ $status = 0 ] || [ $status = 124 ] || [ $status = 130 ]
}

export -f triton step train search
export dry out python device network budget length visits work videos
{
  [ "$dry" ] && echo "a dry run on the CPU: it says nothing about a GPU"
  "$python" -c 'import torch; print("torch", torch.__version__, "on", torch.cuda.get_device_name()
        if torch.cuda.is_available() else "a CPU")'
  git log -1 --format='commit %h' 2>/dev/null
} | tee "$log"
failed=0 said=""
while read -r name limit title; do
  [ "$name" ] || continue
  [ "$dry" ] && limit=600
  echo "== $name: $title (at most $limit s)" | tee -a "$log"
  SECONDS=0
  limit=$limit timeout --kill-after=5 "$limit" bash -c "$name" < /dev/null 2>&1 | tee -a "$log"
  status=${PIPESTATUS[0]}
  case $status in
    0) word=passed ;;
    124 | 137) word="out of its $limit s"; failed=1 ;;
    *) word="failed with $status"; failed=1 ;;
  esac
  said="$said$(printf '%-8s %4d s  %s' "$name" $SECONDS "$word")"$'\n'
done <<< "$PARTS"
printf '\n%s' "$said" | tee -a "$log"
exit $failed
