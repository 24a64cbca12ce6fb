#!/usr/bin/env bash
# Trains both models for 100 epochs at 512 px on a machine with a GPU, and prints the metrics and the seconds per epoch.
#
#   benchmarks/gpu_train.sh DATA [ENCODER_WEIGHTS]
#
# DATA contains images/ and masks/; it is first copied with a maximum side of 1024 px, to exclude the time of decoding.
# ENCODER_WEIGHTS is a state dict of smp's mobilenet_v2 encoder; without it that run is skipped.
# Use ACCELERATOR=cpu EPOCHS=1 for a test run.
set -euo pipefail
data=$1 weights=${2:-} out=${OUT:-gpu_runs}
mkdir -p "$out"
small="$out/small"
python3 "$(dirname "$0")/shrink.py" "$data" "$small" 1024
common=(datamodule.data_dir="$small" output_dir="$out/outputs" plots_dir="$out/plots" callbacks.early_stopping=null logger=none
  trainer.accelerator="${ACCELERATOR:-gpu}" trainer.max_epochs="${EPOCHS:-100}" loss=bce_dice scheduler=cosine)
run() {
  echo "== $1"
  shift
  python3 -m flood_seg train "${common[@]}" "$@" | tail -n 20
}
run "resnet34_unet from scratch" model=resnet34_unet model.encoder_weights=null run_name=resnet34_scratch
run "mobilenet_unet from scratch" model=mobilenet_unet model.encoder_weights=null run_name=mobilenet_scratch
if [ -n "$weights" ]; then
  run "mobilenet_unet from the given encoder" model=mobilenet_unet model.encoder_weights_path="$weights" run_name=mobilenet_encoder
fi
# The speed of the device: the same epochs without augmentation. The difference is the cost of the input pipeline.
run "mobilenet_unet, augmentation off, 5 epochs" model=mobilenet_unet model.encoder_weights=null augmentation=none \
  trainer.max_epochs=5 run_name=limit
for history in "$out"/outputs/*/*/history.csv; do
  echo "$history: seconds per epoch (median)"
  cut -d, -f13 "$history" | tail -n +2 | sort -n | awk '{a[NR]=$1} END {print a[int((NR+1)/2)]}'
done
