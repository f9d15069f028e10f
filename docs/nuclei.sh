#!/usr/bin/env bash
# The trainings behind docs/nuclei.md: a vit_tiny from random weights on the nuclei in $SAM_FT_DATA/nuclei, with clicks
# and boxes or with boxes alone, and the measurement of either on the test part. Writes to OUTPUT/clicks or
# OUTPUT/box_only; more arguments go to all three trainings.
#   docs/nuclei.sh clicks OUTPUT [overrides]
#   docs/nuclei.sh box_only OUTPUT [overrides]
set -euo pipefail

prompts=$1 output=$2/$1
shift 2
few=(prompts.box_deviation=0.05) some=() many=()
case $prompts in
    clicks)
        few+=(prompts=sam_paper prompts.fewest_clicks=0 prompts.num_mask_only=0 prompts.centre_probability=0.5)
        some=(prompts.num_clicks=2) many=(prompts.num_clicks=4)
        ;;
    box_only) few+=(prompts=box_only) ;;
    *) echo "Expected clicks or box_only, but got $prompts." >&2 && exit 2 ;;
esac
fit=(sam-ft fit experiment=nuclei data.root="$SAM_FT_DATA/nuclei" "${few[@]}" "$@")

export OMP_NUM_THREADS=1 # of each of the two processes
SECONDS=0
"${fit[@]}" "${some[@]}" output="$output/1"
"${fit[@]}" "${some[@]}" output="$output/2" model.weights="$output/1/model.safetensors" model.image_size=256 \
    optimiser.lr=8e-4 loader.batch_size=1 loader.max_objects=12 loader.windows=[0.25,0.7] \
    trainer.max_steps=1900 trainer.val_check_interval=1900
"${fit[@]}" "${many[@]}" output="$output/3" model.weights="$output/2/model.safetensors" model.image_size=512 \
    optimiser.lr=8e-4 optimiser.schedule.final_lr=0 loader.batch_size=1 loader.max_objects=12 \
    loader.windows=[0.5,1.0] trainer.max_steps=2700 trainer.val_check_interval=2700
echo "Trained for $((SECONDS / 60)) min $((SECONDS % 60)) s."
sam-ft evaluate checkpoint="$output/3/best.ckpt" part=test clicks=[1,2,3,5,9] output="$output/test"
