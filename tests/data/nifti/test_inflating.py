from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from sam_ft.data.nifti.inflating import inflate

CONTENT = np.random.default_rng(0).integers(0, 40, 300_000).astype(np.uint8)


def test_any_part_of_a_gzip_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT.tobytes()))
    for offset, count in ((0, 300_000), (352, 1000), (299_999, 1), (5, 0)):
        assert np.array_equal(inflate(path, offset=offset, num_bytes=count), CONTENT[offset : offset + count])


def test_a_file_of_several_gzip_members_is_read_through(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT[:1000].tobytes()) + gzip.compress(CONTENT[1000:].tobytes()))
    assert np.array_equal(inflate(path, offset=500, num_bytes=2000), CONTENT[500:2500])


@pytest.mark.parametrize("offset, count", [(300_001, 1), (0, 300_001), (400_000, 5)])
def test_a_part_beyond_the_end_is_an_error_that_says_where_it_ends(tmp_path: Path, offset: int, count: int) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT.tobytes()))
    with pytest.raises(EOFError, match="ends after 300000"):
        inflate(path, offset=offset, num_bytes=count)
