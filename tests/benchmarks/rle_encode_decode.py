"""Masks to COCO's compressed strings and back, against pycocotools.

Both begin with what a `Sample` holds, (N, H, W) bool in the order of the rows, and end with it. pycocotools wants
(H, W, N) in the order of the columns, which its users make with `np.asfortranarray`; cases named "its layout" give it
that for nothing and take what it returns, so that they compare the work alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as peer

from sam_ft.data.image_files import read_label_map
from sam_ft.masks.rle import decode, encode
from sam_ft.masks.rle_coco import from_coco, to_coco
from tests.benchmarks.comparing import Row, Timing, compare, with_head
from tests.benchmarks.results import data_folder

_PEER = f"pycocotools {version('pycocotools')}"
_NUCLEI = 4  # images
Stacks = list[np.ndarray]


def rows() -> list[Row]:
    """Every case in both directions, the peer in rows' order and in its own."""
    cases = {
        "COCO-like 480 x 640": [_blobs(16, (480, 640), largest_radius=150)],
        "1024 x 1024": [_blobs(6, (1024, 1024), largest_radius=400)],
    }
    if folder := data_folder():
        cases["nuclei"] = [_instances(path) for path in sorted((folder / "nuclei/val/labels").iterdir())[:_NUCLEI]]
    else:
        print("  (without nuclei, since SAM_FT_DATA is unset)")
    return with_head("rle_encode_decode", [row for name, stacks in cases.items() for row in _case(name, stacks)])


def _case(name: str, stacks: Stacks) -> Iterator[Row]:
    columns = [_to_columns(stack) for stack in stacks]
    ours_strings, peer_strings = [_encode(stack) for stack in stacks], [peer.encode(stack) for stack in columns]
    timing = Timing(items=sum(map(len, stacks)), unit="us")

    def row(what: str, ours: Any, theirs: Any, agree: Any) -> Row:
        return compare(
            f"rle_encode_decode/{what}, {name}", ours=ours, peer=theirs, peer_name=_PEER, agree=agree, timing=timing
        )

    yield row(
        "encode",
        lambda: [_encode(stack) for stack in stacks],
        lambda: [peer.encode(_to_columns(stack)) for stack in stacks],
        _same_strings,
    )
    yield row(
        "encode its layout",
        lambda: [_encode(stack) for stack in stacks],
        lambda: [peer.encode(stack) for stack in columns],
        _same_strings,
    )
    yield row(
        "decode",
        lambda: [decode(from_coco(strings)) for strings in ours_strings],
        lambda: [_to_rows(peer.decode(strings)) for strings in peer_strings],
        _same_masks,
    )
    yield row(
        "decode its layout",
        lambda: [decode(from_coco(strings)) for strings in ours_strings],
        lambda: [peer.decode(strings) for strings in peer_strings],
        lambda ours, theirs: _same_masks(ours, [_to_rows(stack) for stack in theirs]),
    )


def _encode(stack: np.ndarray) -> list[dict[str, Any]]:
    return to_coco(encode(stack))


def _to_columns(stack: np.ndarray) -> np.ndarray:
    return np.asfortranarray(stack.transpose(1, 2, 0)).view(np.uint8)


def _to_rows(stack: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(stack.transpose(2, 0, 1)).view(np.bool_)


def _same_strings(ours: list[list[dict[str, Any]]], theirs: list[list[dict[str, Any]]]) -> bool:
    plain = [[{**each, "counts": each["counts"].decode()} for each in strings] for strings in theirs]
    return ours == plain


def _same_masks(ours: Stacks, theirs: Stacks) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def _blobs(count: int, size: tuple[int, int], *, largest_radius: float) -> np.ndarray:
    """Objects with a wavy outline, some cut by the border, of radii from 30 % of the largest."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    masks = np.zeros((count, *size), dtype=np.bool_)
    for mask in masks:
        down, right = rows - generator.uniform(0, size[0]), columns - generator.uniform(0, size[1])
        angle, phase = np.arctan2(down, right), generator.uniform(0, 2 * np.pi)
        radius = largest_radius * generator.uniform(0.3, 1)
        mask[:] = np.hypot(down, right) < radius * (1 + 0.2 * np.sin(5 * angle + phase) + 0.1 * np.sin(11 * angle))
    return masks


def _instances(path: Path) -> np.ndarray:
    labels = read_label_map(path)
    return labels == np.unique(labels[labels > 0])[:, None, None]
