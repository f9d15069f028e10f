"""What segment_anything's predictor and mask generator answer, in a process of its own. Imports nothing of ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import torchvision_stand_in

torchvision_stand_in.install()

from segment_anything import SamAutomaticMaskGenerator, SamPredictor  # noqa: E402
from segment_anything.modeling import (  # noqa: E402
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    """The folder holds `sam.pth`, `architecture.json`, `images.npz` and `cases.json`."""
    model = build(**json.loads((folder / "architecture.json").read_text()))
    model.load_state_dict(torch.load(folder / "sam.pth"))
    images = dict(np.load(folder / "images.npz"))
    cases = json.loads((folder / "cases.json").read_text())
    return lambda: {
        f"{name}.{part}": array
        for name, case in cases.items()
        for part, array in (predicted if "prompt" in case else generated)(model.eval(), images[case["image"]], case)
    }


def predicted(model: Sam, image: np.ndarray, case: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    predictor = SamPredictor(model)
    predictor.set_image(image, case.get("image_format", "RGB"))
    given = {name: np.array(value) if isinstance(value, list) else value for name, value in case["prompt"].items()}
    if case.get("again"):  # the best mask of a first answer goes in
        _, scores, logits = predictor.predict(**given)
        given["mask_input"] = logits[scores.argmax()][None]
    yield from zip(("masks", "scores", "logits"), predictor.predict(**given), strict=True)


def generated(model: Sam, image: np.ndarray, case: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    settings = dict(case["generator"])
    if "point_grids" in settings:
        settings["point_grids"] = list(map(np.array, settings["point_grids"]))
    records = SamAutomaticMaskGenerator(model, **settings).generate(image)
    for name in records[0]:
        values = [json.dumps(each[name]) if isinstance(each[name], dict) else each[name] for each in records]
        yield name, np.array(values)


def build(
    *,
    image_size: int,
    encoder_width: int,
    encoder_depth: int,
    encoder_heads: int,
    global_attention_blocks: list[int],
    window_size: int,
    decoder_width: int = 256,
) -> Sam:
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=image_size,
            depth=encoder_depth,
            embed_dim=encoder_width,
            num_heads=encoder_heads,
            global_attn_indexes=global_attention_blocks,
            window_size=window_size,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            out_chans=decoder_width,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=decoder_width,
            image_embedding_size=(image_size // 16, image_size // 16),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=decoder_width, mlp_dim=8 * decoder_width, num_heads=decoder_width // 32
            ),
            transformer_dim=decoder_width,
            iou_head_hidden_dim=decoder_width,
        ),
    )
