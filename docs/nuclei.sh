#!/usr/bin/env bash
# Teaches a vit_tiny from random weights the nuclei in $SAM_FT_DATA/nuclei, with clicks and boxes or with boxes alone,
# and measures it on their test part. Writes to OUTPUT/clicks or OUTPUT/box_only; more arguments go to all trainings.
#   docs/nuclei.sh clicks OUTPUT [overrides]
#   docs/nuclei.sh box_only OUTPUT [overrides]
set -euo pipefail

prompts=$1 output=$2/$1
shift 2
overrides=("$@")
asked=(prompts.box_deviation=0.05) two_clicks=() four_clicks=() seven_clicks=()
case $prompts in
    clicks)
        asked+=(prompts=sam_paper prompts.fewest_clicks=0 prompts.num_mask_only=0 prompts.centre_probability=0.75)
        two_clicks=(prompts.num_clicks=2) four_clicks=(prompts.num_clicks=4) seven_clicks=(prompts.num_clicks=7)
        ;;
    box_only) asked+=(prompts=box_only) ;;
    *) echo "Expected clicks or box_only, but got $prompts." >&2 && exit 2 ;;
esac
number=0 weights=null

train() { # SIDE_OF_THE_FRAME STEPS OVERRIDES...
    local side=$1 steps=$2
    shift 2
    number=$((number + 1))
    sam-ft fit experiment=nuclei data.root="$SAM_FT_DATA/nuclei" data.stretch=true output="$output/$number" "${asked[@]}" \
        model.weights="$weights" model.image_size="$side" trainer.max_steps="$steps" trainer.val_check_interval="$steps" "$@"
    weights=$output/$number/model.safetensors
}

export OMP_NUM_THREADS=1 # of each of the two processes that train
next=(optimiser.lr=8e-4 loss.pixel_weight=0.3 prompts.box_deviation=0.02 loader.max_objects=16 loader.augment=light)
SECONDS=0
train 128 2300 "${two_clicks[@]}" "${overrides[@]}"
train 256 1400 "${next[@]}" "${two_clicks[@]}" loader.batch_size=2 loader.windows=[0.3,1.0] "${overrides[@]}"
train 512 700 "${next[@]}" "${four_clicks[@]}" loader.batch_size=1 loader.windows=[0.5,1.0] "${overrides[@]}"
train 768 240 "${next[@]}" "${seven_clicks[@]}" loader.batch_size=1 loader.windows=[0.8,1.0] optimiser.schedule.final_lr=0 "${overrides[@]}"
echo "Trained for $((SECONDS / 60)) min $((SECONDS % 60)) s."
OMP_NUM_THREADS=2 sam-ft evaluate checkpoint="$output/$number/best.ckpt" part=test clicks=[1,2,3,5,9] output="$output/test"
