#!/usr/bin/env bash
# The measurements of docs/baselines.md on the data in $SAM_FT_DATA: a SAM before and after a fine-tuning, and a U-Net that
# has trained as long. SAM is vit_tiny with the weights that come with the package; all on a CPU. Writes to OUTPUT/NAME.
#   docs/baselines.sh spine_mri OUTPUT   each volume held out once
#   docs/baselines.sh camvid OUTPUT
#   docs/baselines.sh nuclei OUTPUT      after docs/nuclei.sh clicks OUTPUT/nuclei, which trains SAM
set -euo pipefail

name=$1 output=$2/$1
quiet=(monitoring.wandb=disabled trainer.accelerator=cpu)

train_sam() { # FOLDER STEPS OVERRIDES...
    sam-ft fit model=vit_tiny model.weights=vit_tiny_phantoms trainer.max_steps="$2" "${quiet[@]}" "${@:3}" output="$1"
}

train_unet() { # FOLDER STEPS OVERRIDES...
    sam-ft fit task=unet trainer.max_steps="$2" "${quiet[@]}" "${@:3}" output="$1"
}

spine_mri() {
    local data=(data=nifti "data.images=$SAM_FT_DATA/volumes/spine_mri/*/image.nii.gz"
        "data.labels=$SAM_FT_DATA/volumes/spine_mri/*/label_cord.nii.gz" "data.objects.classes={cord: 1}")
    local fold split measure prompt
    for fold in 0 1 2 3 4 5; do
        split=(data/split=folds data.split.num_folds=6 data.split.fold="$fold")
        train_sam "$output/$fold/sam" 600 model.image_size=128 "${data[@]}" "${split[@]}"
        train_unet "$output/$fold/unet" 600 model.image_size=128 "${data[@]}" "${split[@]}" data.empty=0.5
        measure=(sam-ft evaluate protocol=volumes part=val "${data[@]}" "${split[@]}")
        for prompt in box click; do
            "${measure[@]}" protocol.prompt=$prompt checkpoint=vit_tiny_phantoms image_size=128 output="$output/$fold/before_$prompt"
            "${measure[@]}" protocol.prompt=$prompt checkpoint="$output/$fold/sam/best.ckpt" output="$output/$fold/sam_$prompt"
        done
        "${measure[@]}" checkpoint="$output/$fold/unet/best.ckpt" output="$output/$fold/unet_alone"
    done
    sam-ft evaluate table --output "$output/table" "SAM as it comes, box=$output/*/before_box" \
        "SAM as it comes, 1 click=$output/*/before_click" "fine-tuned, box=$output/*/sam_box" \
        "fine-tuned, 1 click=$output/*/sam_click" "U-Net=$output/*/unet_alone"
}

camvid() {
    local data=(data=semantic_maps data.root="$SAM_FT_DATA/camvid")
    local same=(model.image_size=384 loader.augment=none "${data[@]}")
    train_sam "$output/sam" 1300 task=semantic "${same[@]}"
    train_unet "$output/unet" 500 "${same[@]}"
    sam-ft evaluate checkpoint="$output/sam/best.ckpt" output="$output/sam_semantic"
    sam-ft evaluate checkpoint="$output/unet/best.ckpt" output="$output/unet_semantic"
    sam-ft evaluate table --output "$output/table" "semantic SAM=$output/sam_semantic" "U-Net=$output/unet_semantic"
}

nuclei() {
    local data=(data=image_mask data.root="$SAM_FT_DATA/nuclei" data.stretch=true)
    local same=(loader.augment=microscopy data=boundaries +data@data.of=image_mask data.of.root="$SAM_FT_DATA/nuclei"
        data.of.stretch=true)
    local sam=$output/clicks/4/best.ckpt
    train_unet "$output/unet_256" 1500 "${same[@]}" model.image_size=256 loader.batch_size=4 loader.windows=[0.3,1.0]
    train_unet "$output/unet" 700 "${same[@]}" model.image_size=512 model.weights="$output/unet_256/model.safetensors" \
        loader.windows=[0.5,1.0] optimiser.lr=5e-4
    sam-ft evaluate checkpoint=vit_tiny_phantoms image_size=512 "${data[@]}" "clicks=[1,2,3,5,9]" output="$output/before_prompted"
    sam-ft evaluate checkpoint="$sam" "clicks=[1,2,3,5,9]" output="$output/sam_prompted"
    sam-ft evaluate checkpoint="$sam" part=val thresholds=16 pictures=0 output="$output/sam_thresholds"
    sam-ft evaluate checkpoint="$sam" protocol=automatic protocol.thresholds_file="$output/sam_thresholds/thresholds.json" \
        output="$output/sam_automatic"
    sam-ft evaluate checkpoint="$output/unet/best.ckpt" protocol=instances output="$output/unet_instances"
    sam-ft evaluate table --output "$output/prompted_table" "SAM as it comes=$output/before_prompted" \
        "fine-tuned=$output/sam_prompted"
    sam-ft evaluate table --output "$output/table" "fine-tuned SAM=$output/sam_automatic" "U-Net=$output/unet_instances"
}

case $name in
    spine_mri | camvid | nuclei) "$name" ;;
    *) echo "Expected nuclei, camvid or spine_mri, but got $name." >&2 && exit 2 ;;
esac
