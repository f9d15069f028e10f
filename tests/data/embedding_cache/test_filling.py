from __future__ import annotations

import logging
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from filelock import FileLock

from sam_ft.data.augment import augmentation
from sam_ft.data.collation import Prepare, PreparedSamples, collate
from sam_ft.data.embedding_cache import encoding, filling
from sam_ft.data.embedding_cache.encoding import Encoding, row_bytes, row_shapes
from sam_ft.data.embedding_cache.filling import Filled, fill
from sam_ft.data.embedding_cache.settings import EmbeddingCacheSettings
from sam_ft.data.synthetic import Synthetic
from sam_ft.data.windows import RandomWindow
from sam_ft.models.sam.hq import add_high_quality
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import sam
from sam_ft.types import Sample

SIZE = 64
Fill = Callable[..., Filled]


def tiny_model() -> Sam:
    torch.manual_seed(0)
    model = sam(
        image_size=SIZE,
        encoder_width=24,
        encoder_depth=2,
        encoder_heads=2,
        global_attention_blocks=(1,),
        window_size=2,
        decoder_width=32,
    )
    return model.requires_grad_(False)


def part(num_images: int = 3, prepare: Prepare | None = None, *, seed: int = 0) -> PreparedSamples:
    return PreparedSamples(list(Synthetic(num_images, image_size=SIZE)), prepare or Prepare(SIZE), seed=seed)


def filled(parts: list[PreparedSamples], folder: Path, *, model: Sam | None = None, **settings: Any) -> Filled:
    return fill(parts, model or tiny_model(), EmbeddingCacheSettings(folder, **settings), encoding=Encoding())


@pytest.mark.parametrize("workers, batch_size", [(0, 1), (2, 2)])
def test_a_part_gives_the_embeddings_of_its_images(tmp_path: Path, workers: int, batch_size: int) -> None:
    images, cached, model = part(), part(), tiny_model()
    add_high_quality(model)
    settings = EmbeddingCacheSettings(tmp_path)
    done = fill([cached], model, settings, encoding=Encoding(num_workers=workers, batch_size=batch_size))
    assert (done.num_needed, done.num_encoded, done.num_others) == (3, 3, 0)
    assert done.row_bytes == row_bytes(model, torch.float32) == 4 * (32 + 24) * 4 * 4
    with_images, without = (
        collate([images[index] for index in range(3)]),
        collate([cached[index] for index in range(3)]),
    )
    assert without.images is None and torch.equal(without.masks, with_images.masks)
    found = without.embedded(model.encode_image, device="cpu")
    expected = with_images.embedded(model.encode_image, device="cpu")
    torch.testing.assert_close(found.features, expected.features, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.high_resolution, expected.high_resolution, atol=1e-5, rtol=0)
    assert [tuple(t.shape[1:]) for t in (found.features, *found.high_resolution)] == row_shapes(model)


def test_equal_images_are_encoded_once_and_for_every_seed(tmp_path: Path) -> None:
    assert filled([part(3), part(2)], tmp_path).num_encoded == 3
    assert filled([part(4, seed=7)], tmp_path).num_encoded == 1


@pytest.mark.parametrize(
    "prepare",
    [
        Prepare(SIZE, augment=augmentation("light")),
        Prepare(SIZE, augment=augmentation("medical")),
        Prepare(SIZE, window=RandomWindow((0.2, 0.5))),
        Prepare(SIZE, window=RandomWindow((0.2, 0.6))),
    ],
)
def test_what_changes_the_pixels_has_rows_of_its_own(tmp_path: Path, prepare: Prepare) -> None:
    filled([part(), part(prepare=Prepare(SIZE, augment=augmentation("microscopy")))], tmp_path, views=2)
    filled([part(prepare=Prepare(SIZE, window=RandomWindow((0.3, 0.5))))], tmp_path, views=2)
    assert filled([part(prepare=prepare)], tmp_path, views=2).num_encoded == 2 * 3
    again = filled([part(prepare=replace(prepare, max_objects=1))], tmp_path, views=3)
    assert again.num_encoded == 3  # the third view; how many objects there are does not matter
    assert filled([part(prepare=prepare, seed=1)], tmp_path, views=3).num_encoded == 3 * 3


def test_where_windows_lie_by_the_objects_these_matter_too(tmp_path: Path) -> None:
    samples = part().samples
    fewer = [replace(each, masks=each.masks[:1], class_names=each.class_names[:1]) for each in samples]  # type: ignore[attr-defined]
    window = Prepare(SIZE, window=RandomWindow((0.2, 0.5)))
    for prepare, expected in ((Prepare(SIZE), 0), (window, sum(len(samples[index].masks) > 1 for index in range(3)))):
        filled([PreparedSamples(samples, prepare)], tmp_path)
        assert filled([PreparedSamples(fewer, prepare)], tmp_path).num_encoded == expected
    assert expected > 0


def test_rows_of_no_use_are_told(tmp_path: Path) -> None:
    filled([part(3)], tmp_path)
    changed = part(3)
    changed.samples[0].image[0, 0, 0] += 1
    done = filled([changed], tmp_path)
    assert (done.num_encoded, done.num_others) == (1, 1)
    assert "1 more there (2 KiB)" in str(done) and "3 embeddings of 2 KiB" in str(done)


class Interrupted(Synthetic):
    """Somebody presses Ctrl-C, or an image cannot be read, when the image is read for the second time."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__(5, image_size=SIZE)
        self.error: type[BaseException] | None = error
        self.seen: set[int] = set()

    def __getitem__(self, index: int) -> Sample:
        if index == 3 and index in self.seen and self.error is not None:
            raise self.error
        self.seen.add(index)
        return super().__getitem__(index)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interrupted_work_is_kept_and_gone_on_with(tmp_path: Path, error: type[BaseException]) -> None:
    samples = Interrupted(error)
    with pytest.raises(error):
        filled([PreparedSamples(samples, Prepare(SIZE))], tmp_path)
    samples.error = None
    assert filled([PreparedSamples(samples, Prepare(SIZE))], tmp_path).num_encoded == 2


def test_files_are_closed_as_they_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "SHARD_BYTES", 2 * row_bytes(tiny_model(), torch.float32))
    filled([part(5)], tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3


def test_a_damaged_file_is_encoded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled([part()], tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    assert filled([part()], tmp_path).num_encoded == 3
    assert "cannot be read" in caplog.text


def test_what_does_not_fit_on_the_disk_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5000))
    with pytest.raises(
        ValueError, match=r"Expected 6 KiB free .* for 3 embeddings of 2 KiB, but 5 KiB are: .*bfloat16"
    ):
        filled([part()], tmp_path)
    assert filled([part()], tmp_path, dtype="bfloat16").num_encoded == 3


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"Expected a folder to write embeddings to, but .*file"):
        filled([part()], tmp_path / "file")


def test_numbers_that_a_type_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.image_encoder.neck[3].weight.mul_(1e6)
    filled([part()], tmp_path, model=model, dtype="bfloat16")
    with pytest.raises(ValueError, match="finite numbers in the embedding of synthetic_00000, .*float16"):
        filled([part()], tmp_path, model=model, dtype="float16")


def fill_elsewhere(folder: Path, results: Any) -> None:
    torch.set_num_threads(1)
    results.put(filled([part(6)], folder).num_encoded)


def test_of_several_processes_one_encodes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    processes = [context.Process(target=fill_elsewhere, args=(tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert sorted(results.get() for _ in processes) == [0, 0, 6]
    assert [path.name for path in tmp_path.rglob("*.safetensors")] == ["000001.safetensors"]


def test_whoever_has_everything_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = filled([part()], tmp_path)
    monkeypatch.setattr(filling, "_alone", lambda folder: pytest.fail("waited"))
    with FileLock(done.folder / ".lock"):
        assert filled([part()], tmp_path).num_encoded == 0


def test_the_amount_is_told_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        filled([part()], tmp_path)
    assert "3 images to encode, 2 KiB each, 6 KiB in all" in caplog.text


@pytest.mark.parametrize("wrong", [{"views": 0}, {"views": 1.5}, {"dtype": "int8"}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmbeddingCacheSettings("folder", **wrong)
