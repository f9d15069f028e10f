from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sam_ft.data.numpy_files import npy_header, npz_header, npz_keys, read_npy, read_npz


class Bomb:
    """What unpickling would set off."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return _explode, ("unpickled",)


def _explode(what: str) -> None:
    raise AssertionError(what)


ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.arange(6, dtype=np.float64).reshape(2, 3),
    np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    np.arange(5, dtype=">u2"),
    np.zeros((0, 3), np.uint8),
    np.array([True, False]),
    np.array(7.0),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_reads(tmp_path: Path, array: np.ndarray, save: Callable[..., None]) -> None:
    np.save(tmp_path / "a.npy", array)
    save(tmp_path / "a.npz", imgs=array, other=np.ones(3))
    for ours in (read_npy(tmp_path / "a.npy"), read_npz(tmp_path / "a.npz", "imgs")):
        assert np.array_equal(ours, array) and ours.dtype == array.dtype.newbyteorder("=")
    for header in (npy_header(tmp_path / "a.npy"), npz_header(tmp_path / "a.npz", "imgs")):
        assert (header.shape, header.dtype) == (array.shape, array.dtype)
    assert npz_keys(tmp_path / "a.npz") == ("imgs", "other")


def test_python_objects_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    bombs = np.array([Bomb()], dtype=object)
    np.save(tmp_path / "a.npy", bombs)
    np.savez_compressed(tmp_path / "a.npz", imgs=bombs, gts=np.ones(3, np.uint8))
    with pytest.raises(AssertionError, match="unpickled"):  # so that the file is a danger indeed
        np.load(tmp_path / "a.npy", allow_pickle=True)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Bomb()))
    for refused in ("a.npy", "raw.npy"):
        with pytest.raises(ValueError, match=refused):
            read_npy(tmp_path / refused)
    with pytest.raises(ValueError, match=r"`imgs` in .*a.npz.*Python objects, which are never unpickled"):
        read_npz(tmp_path / "a.npz", "imgs")
    assert read_npz(tmp_path / "a.npz", "gts").sum() == 3


def test_every_truncation_of_a_file_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 9, (5, 6)))
    np.savez_compressed(tmp_path / "a.npz", imgs=np.random.default_rng(0).integers(0, 9, (5, 6)))
    for name in ("a.npy", "a.npz"):
        whole = (tmp_path / name).read_bytes()
        for length in range(len(whole)):
            (tmp_path / f"cut_{name}").write_bytes(whole[:length])
            with pytest.raises(ValueError, match=f"cut_{name}"):
                read_npy(tmp_path / "cut_a.npy") if name == "a.npy" else read_npz(tmp_path / "cut_a.npz", "imgs")


def test_a_changed_number_in_an_archive_is_found_by_its_checksum(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", imgs=np.full(1000, 77, np.uint8))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(bytes([77] * 100)) + 50] = 78
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="a.npz.*CRC"):
        read_npz(tmp_path / "a.npz", "imgs")


def test_a_header_that_claims_more_than_the_file_has_allocates_nothing(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 1000), }".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(100)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imgs.npy", content)
    with pytest.raises(ValueError, match=r"a.npy.*claims 1000000000000000 bytes"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"a.npz.*claims 1000000000000000 bytes"):
        read_npz(tmp_path / "a.npz", "imgs")


def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    np.save(tmp_path / "fields.npy", np.zeros(2, dtype=[("a", "i4")]))
    np.savez(tmp_path / "a.npz", other=np.ones(3))
    for path in ("text.npy", "fields.npy", "absent.npy"):
        with pytest.raises(ValueError, match=path):
            read_npy(tmp_path / path)
    with pytest.raises(ValueError, match=r"`imgs` in .*a.npz.*it has none, but other"):
        read_npz(tmp_path / "a.npz", "imgs")
    with pytest.raises(ValueError, match="text.npy"):
        npz_keys(tmp_path / "text.npy")
