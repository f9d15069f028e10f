"""Masks of everything in an image of 1024 x 1024 by `vit_b`, 32 x 32 points: our generator against segment_anything's.

The weights are those of `widened`, so that there are masks of sensible shapes; both sides have a process of their own,
so that the peak memory of each can be told. The thresholds let about as many proposals through as published weights do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sam_ft.checkpoints import save_meta
from sam_ft.data.phantoms import Phantoms
from tests.benchmarks.comparing import Row, Timing, compare, measured
from tests.benchmarks.peer_process import PeerProcess, environment
from tests.benchmarks.widened import widened_vit_b

NAME = "everything_mode"
FOLDER = Path("runs/benchmarks") / NAME
PEER = ("segment-anything==1.0",)
PEER_NAME = "segment_anything 1.0"


def rows() -> list[Row]:
    """Speed and memory."""
    save_meta(widened_vit_b(), FOLDER / "sam.pth")
    np.save(FOLDER / "image.npy", Phantoms(40, image_size=1024, seed=1)[3].image.numpy())
    original = environment(NAME, PEER, beside_ours=True, pip_options=["--no-deps"])
    scripts = Path(__file__).parent
    with (
        PeerProcess(original, scripts / "everything_mode_original.py", folder=FOLDER) as theirs,
        PeerProcess(Path(sys.executable), scripts / "everything_mode_ours.py", folder=FOLDER) as ours,
    ):
        speed = compare(
            NAME, ours=ours, peer=theirs, peer_name=PEER_NAME, agree=same_masks, at_least=3,
            timing=Timing(rounds=2, unit="s"),
        )  # fmt: skip
        memory = measured(
            f"{NAME}/peak memory", ours=ours.peak_mib(), peer=theirs.peak_mib(), peer_name=PEER_NAME, unit="MiB",
            outputs_agree=speed.outputs_agree,
        )  # fmt: skip
    return [speed, memory]


def same_masks(ours: dict[str, np.ndarray], peer: dict[str, np.ndarray]) -> bool:
    """As many masks in the same order, with an IoU of 0.999 for 99 of 100."""
    print("; ".join(f"{name} {int(ours[name])}" for name in ("proposals", "trusted", "stable", "kept")))
    for stage in (name for name in ours if name.startswith("seconds.")):
        print(f"{stage.removeprefix('seconds.'):12} {float(ours[stage]):8.2f} s {float(peer[stage]):8.2f} s")
    if ours["masks"].shape != peer["masks"].shape:
        return False
    one, other = (np.unpackbits(side["masks"], axis=1).astype(bool) for side in (ours, peer))
    ious = (one & other).sum(axis=1) / np.maximum((one | other).sum(axis=1), 1)
    return bool((ious >= 0.999).mean() >= 0.99 and np.abs(ours["scores"] - peer["scores"]).max() < 1e-3)
