"""The mask decoding of 64 points, three masks each, `vit_b` at 1024 px: ours, segment_anything's and transformers'.

All start from the same embedding and weights (random) and end with logits of a quarter of the frame's side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers

from sam_ft.checkpoints import save_hugging_face, save_meta
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model
from sam_ft.types import ImageEmbedding, Prompts
from tests.benchmarks.comparing import Row, Timing, compare
from tests.benchmarks.peer_process import PeerProcess, environment

NAME = "decode_64_prompts"
FOLDER = Path("runs/benchmarks") / NAME
PEER = ("segment-anything==1.0",)
NUM_PROMPTS = 64


def rows() -> list[Row]:
    """Against the original and against transformers."""
    torch.manual_seed(0)
    model = build_model("vit_b").eval()
    work = write_work(FOLDER, model)
    original = environment(NAME, PEER, beside_ours=True, pip_options=["--no-deps"])
    found = []
    for name, python, script, peer_name in (
        (NAME, original, "decode_64_prompts_original.py", "segment_anything 1.0"),
        (
            f"{NAME}/transformers",
            Path(sys.executable),
            "decode_64_prompts_transformers.py",
            f"transformers {transformers.__version__}",
        ),
    ):
        with PeerProcess(python, Path(__file__).with_name(script), folder=FOLDER) as peer:
            found.append(
                compare(
                    name,
                    ours=decoding_of(model, work),
                    peer=peer,
                    peer_name=peer_name,
                    agree=same_logits,
                    at_least=3,
                    timing=Timing(rounds=7, items=NUM_PROMPTS, unit="ms"),
                )
            )
    return found


def write_work(folder: Path, model: Sam) -> dict[str, np.ndarray]:
    """Weights for both, an embedding and points of the frame."""
    save_meta(model, folder / "sam.pth")
    save_hugging_face(model, folder / "hugging_face")
    random = np.random.default_rng(0)
    with torch.inference_mode():
        features = model.encode_image(torch.from_numpy(random.normal(size=(1, 3, 1024, 1024))).float()).features
    work = {
        "features": features.numpy(),
        "points": random.uniform(0, 1023, (NUM_PROMPTS, 1, 2)).astype(np.float32),
        "labels": np.ones((NUM_PROMPTS, 1), dtype=np.int64),
    }
    np.savez(folder / "work.npz", **work)
    return work


def decoding_of(model: Sam, work: dict[str, np.ndarray]) -> Callable[[], dict[str, np.ndarray]]:
    """Logits (64, 3, 256, 256) and predicted IoUs (64, 3)."""
    given = {name: torch.from_numpy(array) for name, array in work.items()}
    prompts = Prompts(points=given["points"][None], labels=given["labels"][None])
    embedding = ImageEmbedding(given["features"])

    @torch.inference_mode()
    def decode() -> dict[str, np.ndarray]:
        answer = model.decode(embedding, prompts, multimask_output=True)
        return {"logits": answer.low_res_logits[0].numpy(), "scores": answer.iou_predictions[0].numpy()}

    return decode


def same_logits(ours: dict[str, np.ndarray], peer: dict[str, np.ndarray]) -> bool:
    """To 1e-4."""
    return all(ours[name].shape == peer[name].shape and np.abs(ours[name] - peer[name]).max() < 1e-4 for name in ours)
