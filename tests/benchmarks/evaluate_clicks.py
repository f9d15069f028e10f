"""mIoU against clicks of 30 objects by the evaluator, against a loop that calls `SamPredictor.predict` for each.

`vit_b` at 1024 px with random weights, one image, five clicks on every object. Both sides repeat the clicks of a
recorded evaluation and start from the same embedding, and in a second row from the image. In the third row the
evaluator looks for the clicks itself, while the loop is still told them. Where there is a GPU, a fourth row does the
work of the first one there, in 32 bits; it is wanted to be ten times as fast, and both sides wait for the GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sam_ft.checkpoints import save_meta
from sam_ft.data.collation import Prepare, collate
from sam_ft.evaluation.asking.interactive import evaluate_clicks, evaluate_interactively
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import RecordedUser, SimulatedUser, User
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model
from sam_ft.types import Batch, Sample
from tests.benchmarks.comparing import Row, Timing, compare
from tests.benchmarks.peer_process import PeerProcess, environment

NAME = "evaluate_clicks"
FOLDER = Path("runs/benchmarks") / NAME
PEER = ("segment-anything==1.0",)
PEER_NAME = "SamPredictor of segment_anything 1.0"
CLICKS = (1, 2, 3, 4, 5)
COLUMNS, ROWS, SIDE = 6, 5, 1024


def rows() -> list[Row]:
    """From the same embedding, and from the image."""
    torch.manual_seed(0)
    model = build_model("vit_b").eval()
    batch = collate([Prepare(SIDE)(picture_of_discs())])
    with torch.inference_mode():
        embedded = replace(batch, images=None, embedding=model.encode_image(batch.images))
    python = environment(NAME, PEER, beside_ours=True, pip_options=["--no-deps"])
    recorded = write_work(FOLDER, model, embedded)
    from_records, itself = RecordedUser(recorded, source="the benchmark"), SimulatedUser()
    found = []
    for name, given, user, script, rounds, at_least in (
        (NAME, embedded, from_records, "evaluate_clicks_peer.py", 5, 3),
        (f"{NAME}/with the encoder", batch, from_records, "evaluate_clicks_peer_image.py", 3, 1),
        (f"{NAME}/and finds the clicks", embedded, itself, "evaluate_clicks_peer.py", 3, 1),
    ):
        with PeerProcess(python, Path(__file__).with_name(script), folder=FOLDER) as peer:
            found.append(
                compare(
                    name,
                    ours=measurement_of(model, given, user),
                    peer=peer,
                    peer_name=PEER_NAME,
                    agree=same_ious,
                    at_least=at_least,
                    timing=Timing(rounds=rounds, items=ROWS * COLUMNS, unit="objects/s"),
                )
            )
    if torch.cuda.is_available():
        found.append(gpu_row(model, embedded, from_records, python=python))
    return found


def gpu_row(model: Sam, batch: Batch, user: User, *, python: Path) -> Row:
    """The first row's work on a GPU; the model stays there."""
    torch.backends.cudnn.allow_tf32 = False  # as on the peer's side: IoUs are compared to 1e-4
    measure = measurement_of(model.cuda(), batch.to("cuda"), user)

    def work() -> np.ndarray:
        ious = measure()
        torch.cuda.synchronize()
        return ious

    with PeerProcess(python, Path(__file__).with_name("evaluate_clicks_peer_gpu.py"), folder=FOLDER) as peer:
        return compare(
            f"{NAME}/gpu",
            ours=work,
            peer=peer,
            peer_name=PEER_NAME,
            agree=same_ious,
            at_least=10,
            timing=Timing(rounds=5, items=ROWS * COLUMNS, unit="objects/s"),
        )


def measurement_of(model: Sam, batch: Batch, user: User) -> Callable[[], np.ndarray]:
    """(objects, clicks) IoU."""
    questions = Questions(clicks=CLICKS, box=False, oracle=False)

    def work() -> np.ndarray:
        records = evaluate_interactively(model, [batch], questions, user=user)
        return np.array([record.iou for record in records]).reshape(-1, len(CLICKS))

    return work


def same_ious(ours: np.ndarray, peer: dict[str, np.ndarray]) -> bool:
    """To 1e-4, which on these objects is a pixel or two whose logit is nearly 0."""
    return ours.shape == peer["ious"].shape and bool(np.abs(ours - peer["ious"]).max() <= 1e-4)


def write_work(folder: Path, model: Sam, batch: Batch) -> list[MaskRecord]:
    """Weights, image, masks, embedding, and the clicks that the evaluator makes; returns its records."""
    folder.mkdir(parents=True, exist_ok=True)
    save_meta(model, folder / "sam.pth")
    records = evaluate_clicks(model, [batch], clicks=CLICKS[-1:], with_box=False)
    if any(len(record.points) != CLICKS[-1] for record in records):
        raise RuntimeError("Expected an error to click in every round, but random weights have found an object.")
    (sample,) = batch.samples
    np.savez(
        folder / "work.npz",
        image=sample.image.numpy(),
        masks=sample.masks.numpy(),
        embedding=batch.embedding.features.numpy(),
        points=np.array([record.points for record in records], dtype=np.float32),  # (objects, clicks, 2)
        labels=np.array([record.labels for record in records], dtype=np.int64),  # (objects, clicks)
    )
    return records


def picture_of_discs() -> Sample:
    """Thirty discs of several sizes on noise."""
    random = np.random.default_rng(0)
    image = torch.from_numpy(random.integers(0, 90, (SIDE, SIDE, 3)).astype(np.uint8))
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    masks = torch.stack(
        [
            (x - 170 * column - 86) ** 2 + (y - 204 * row - 100) ** 2 < (30 + 8 * ((row + column) % 6)) ** 2
            for row in range(ROWS)
            for column in range(COLUMNS)
        ]
    )
    image[masks.any(dim=0)] += 120
    return Sample(image=image, masks=masks, class_names=("disc",) * len(masks), name="discs")
