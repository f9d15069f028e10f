from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from sam_ft.data.embedding_cache.shards import Shards
from sam_ft.types import ImageEmbedding


def row(seed: int, dtype: torch.dtype = torch.float32) -> ImageEmbedding:
    generator = torch.Generator().manual_seed(seed)
    features, early = (torch.randn(1, channels, 4, 3, generator=generator).to(dtype) for channels in (5, 7))
    return ImageEmbedding(features=features, high_resolution=(early, early * 2))


def assert_same(found: ImageEmbedding, expected: ImageEmbedding) -> None:
    assert torch.equal(found.features, expected.features) and found.features.dtype == expected.features.dtype
    for one, other in zip(found.high_resolution, expected.high_resolution, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_are_read_as_they_were_written(tmp_path: Path, dtype: torch.dtype) -> None:
    shards = Shards(tmp_path / "rows")
    shards.write({"a": row(0, dtype), "b": row(1, dtype)})
    shards.write({"c": row(2, dtype)})
    shards.write({})
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == ["000001.safetensors", "000002.safetensors"]
    for reader in (shards, Shards(tmp_path / "rows"), pickle.loads(pickle.dumps(shards))):
        assert len(reader) == 3 and "d" not in reader
        for number, key in enumerate("abc"):
            assert_same(reader.read(key), row(number, dtype))
    assert shards.read("a").features.is_contiguous(memory_format=torch.channels_last)


def test_a_row_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Shards(tmp_path).read("a")


def test_rows_that_others_have_written_are_seen_at_the_next_look(tmp_path: Path) -> None:
    reader, writer = Shards(tmp_path), Shards(tmp_path)
    writer.write({"a": row(0)})
    assert "a" not in reader
    reader.look()
    assert_same(reader.read("a"), row(0))


def test_damaged_and_half_written_files_count_as_nothing_and_go(tmp_path: Path) -> None:
    shards = Shards(tmp_path)
    shards.write({"a": row(0)})
    shards.write({"b": row(1)})
    damaged = tmp_path / "000001.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    (tmp_path / ".1a2b.partial.000003.safetensors").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    found = Shards(tmp_path)
    assert "a" not in found and "b" in found and damaged.exists()
    found.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000002.safetensors", "notes.txt"]
    found.write({"a": row(0)})
    assert_same(Shards(tmp_path).read("a"), row(0))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file"):
        Shards(tmp_path / "file").write({"a": row(0)})
