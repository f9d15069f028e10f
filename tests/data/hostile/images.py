"""Hostile PNG, JPEG, TIFF, BMP and NumPy files, as images and as label maps."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from sam_ft.data.image_mask import ImageMaskFolder
from tests.data.hostile.case import SEED, Case, broken, make_pipe

SIZE = 24
PIXELS = np.random.default_rng(SEED).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
LABELS = np.random.default_rng(SEED).integers(0, 9, (SIZE, SIZE), dtype=np.uint8)


def read_pair(path: Path) -> object:
    """As an image with a good label map, or as a label map with a good image, by the folder that it is in."""
    for kind, pixels in (("images", PIXELS), ("labels", LABELS)):
        if kind != path.parent.name:
            (path.parents[1] / kind).mkdir()
            Image.fromarray(pixels).save(path.parents[1] / kind / f"{path.stem}.png")
    return list(ImageMaskFolder(path.parents[1] / "images", path.parents[1] / "labels"))


def image_cases() -> Iterator[Case]:
    """All of this file."""
    for suffix, content in GOOD.items():
        for name, bad, may_be_read in broken(content, cuts=6, flips=6):
            yield Case(f"{suffix} images", name, f"images/bad.{suffix}", bad, read_pair, may_be_read)
    for suffix in ("png", "npy"):
        content = saved(LABELS, suffix)
        for name, bad, may_be_read in broken(content, cuts=5, flips=4):
            yield Case(f"{suffix} labels", name, f"labels/bad.{suffix}", bad, read_pair, may_be_read)
    for suffix, described in (("png", PNG), ("jpg", JPEG), ("tif", TIFF), ("bmp", BMP), ("npy", NPY)):
        for name, bad in described.items():
            yield Case(f"{suffix} images", name, f"images/bad.{suffix}", bad, read_pair)
    for name, (suffix, bad) in NO_LABELS.items():
        yield Case(f"{suffix} labels", name, f"labels/bad.{suffix}", bad, read_pair)
    for kind in ("images", "labels"):
        for suffix in ("png", "npy"):
            yield Case(f"{suffix} {kind}", "a pipe", f"{kind}/bad.{suffix}", make_pipe, read_pair)
            yield Case(f"{suffix} {kind}", "a folder", f"{kind}/bad.{suffix}", partial(Path.mkdir), read_pair)


def saved(pixels: np.ndarray, suffix: str) -> bytes:
    """A good file."""
    file = io.BytesIO()
    if suffix == "npy":
        np.save(file, pixels)
    else:
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
        Image.fromarray(pixels).save(file, kind, **({"compression": "tiff_lzw"} if suffix == "tif" else {}))
    return file.getvalue()


def chunk(kind: bytes, data: bytes, *, length: int | None = None, checksum: int | None = None) -> bytes:
    """Of a PNG."""
    crc = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data) if length is None else length) + kind + data + struct.pack(">I", crc)


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, end: bool = True) -> bytes:
    """A PNG of the given chunks; without any, of a few bytes of pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b"".join(chunks) if chunks else chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + body + (chunk(b"IEND", b"") if end else b"")


def jpeg(width: int, height: int, *, marker: int) -> bytes:
    """A JPEG whose header says another size; 0xC0: baseline, 0xC2: progressive."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", progressive=marker == 0xC2)
    content = bytearray(file.getvalue())
    place = content.index(bytes([0xFF, marker]))
    struct.pack_into(">HH", content, place + 5, height, width)
    return bytes(content)


def tiff(*tags: tuple[int, int, int, int], following: int = 0, offset: int = 8) -> bytes:
    """A TIFF of one directory with the tags (number, type, count, value), and some bytes of pixels."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", offset, len(tags)) + entries + struct.pack("<I", following) + bytes(600)


def grey_tiff(width: int, height: int, *, strip_offset: int = 200, num_strips: int = 1, following: int = 0) -> bytes:
    """A TIFF of 8 bits without compression."""
    return tiff(
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, num_strips, strip_offset), (277, 3, 1, 1), (278, 4, 1, height),
        (279, 4, num_strips, min(width * height, 2**32 - 1)), following=following,
    )  # fmt: skip


def bmp(width: int, height: int, *, compression: int = 0, bits: int = 24) -> bytes:
    """A BMP of a few pixels."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 40, 0, 0, 54) + header + bytes(40)


def npy(header: str, data: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    """A NumPy file whose header is any text."""
    text = header.encode("latin-1") + b"\n"
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", size) + text + data


def array(dtype: str, shape: object, data: bytes = bytes(64)) -> bytes:
    """A NumPy file that claims a type and a shape."""
    return npy(f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}", data)


def zipped() -> bytes:
    """An archive of arrays under the name of one."""
    file = io.BytesIO()
    np.savez(file, a=PIXELS)
    return file.getvalue()


def zip_bomb() -> bytes:
    """An archive that inflates to 64 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.npy", bytes(1 << 26))
    return file.getvalue()


GOOD = {suffix: saved(PIXELS, suffix) for suffix in ("png", "jpg", "tif", "bmp", "npy")}
PNG = {
    "a bomb of 60000 x 60000": png(60000, 60000),
    "13000 x 13000 in 100 bytes": png(13000, 13000),
    "13000 x 13000 in 100 bytes without end": png(13000, 13000, end=False),
    "terabytes": png(2**31 - 1, 2**31 - 1, depth=16, colour=6),
    "one row of 2 ** 31 - 1": png(2**31 - 1, 1),
    "no width": png(0, 24),
    "no height": png(24, 0),
    "length beyond 2 ** 31": png(2**32 - 1, 2**32 - 1),
    "an impossible depth": png(24, 24, depth=5),
    "an impossible colour": png(24, 24, colour=5),
    "no pixels": png(24, 24, chunk(b"tEXt", b"a\0b")),
    "pixels that are no zlib": png(24, 24, chunk(b"IDAT", bytes(range(200)))),
    "too few pixels": png(24, 24, chunk(b"IDAT", zlib.compress(bytes(100)))),
    "a wrong checksum": png(24, 24, chunk(b"pHYs", bytes(9), checksum=0)),
    "a chunk of 4 GiB": png(24, 24, chunk(b"IDAT", b"abc", length=2**32 - 1)),
    "a text of 64 MiB": png(24, 24, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26), 1))),
    "no header": b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", zlib.compress(bytes(3000))) + chunk(b"IEND", b""),
    "two pages": png(24, 24, chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"IDAT", zlib.compress(bytes(1752)))),
}
JPEG = {
    "a bomb of 65500 x 65500": jpeg(65500, 65500, marker=0xC0),
    "13000 x 13000 in 1000 bytes": jpeg(13000, 13000, marker=0xC0),
    "13000 x 13000 in 1000 bytes, progressive": jpeg(13000, 13000, marker=0xC2),
    "no width": jpeg(0, 24, marker=0xC0),
    "no height": jpeg(24, 0, marker=0xC0),
    "headers alone": b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9",
}
TIFF = {
    "a bomb of 60000 x 60000": grey_tiff(60000, 60000),
    "terabytes": grey_tiff(2**31, 2**31),
    "13000 x 13000 in 700 bytes": grey_tiff(13000, 13000),
    "pixels beyond the end": grey_tiff(24, 24, strip_offset=2**31),
    "4 billion strips": grey_tiff(24, 24, num_strips=2**32 - 1),
    "a directory beyond the end": tiff(offset=2**31),
    "a directory that follows itself": grey_tiff(2000, 2000, following=8),
    "no tags": tiff(),
    "tags of unknown types": tiff((256, 99, 1, 24), (257, 99, 1, 24)),
    "no lengths": grey_tiff(0, 0),
    "JPEG inside that is none": tiff(
        (256, 4, 1, 24),
        (257, 4, 1, 24),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 1),
        (273, 4, 1, 200),
        (277, 3, 1, 1),
        (278, 4, 1, 24),
        (279, 4, 1, 300),
    ),
}
BMP = {
    "a bomb of 60000 x 60000": bmp(60000, 60000),
    "terabytes": bmp(2**31 - 1, -(2**31 - 1)),
    "13000 x 13000 in 100 bytes": bmp(13000, 13000),
    "runs of 13000 x 13000 in 100 bytes": bmp(13000, 13000, compression=1, bits=8),
    "no width": bmp(0, 24),
    "an unknown compression": bmp(24, 24, compression=99),
    "an impossible depth": bmp(24, 24, bits=7),
}
NPY = {
    "terabytes": array("<f8", (10**6, 10**6)),
    "a shape beyond 64 bits": array("<f8", (2**62, 2**62)),
    "a shape that wraps around": array("|u1", (2**32, 2**32)),
    "a negative length": array("|u1", (-24, 24)),
    "no length": array("|u1", (0, 24)),
    "one dimension": array("|u1", (24,), bytes(24)),
    "no dimension": array("|u1", (), bytes(24)),
    "five dimensions": array("|u1", (1, 1, 24, 24, 1), bytes(576)),
    "seven channels": array("|u1", (24, 24, 7), bytes(24 * 24 * 7)),
    "a shape of text": array("|u1", "'abc'"),
    "a million dimensions": array("|u1", "(" + "1," * 4000 + ")"),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (24, 24), }", b"\x80\x04N."),
    "records": npy(
        "{'descr': [('a', '|u1'), ('b', '<f4')], 'fortran_order': False, 'shape': (24, 24), }", bytes(24 * 24 * 5)
    ),
    "complex numbers": array("<c8", (24, 24), bytes(24 * 24 * 8)),
    "text": array("<U4", (24, 24), bytes(24 * 24 * 16)),
    "dates": array("<M8[s]", (24, 24), bytes(24 * 24 * 8)),
    "nothing but NaN": array("<f4", (24, 24), np.full(576, np.nan, np.float32).tobytes()),
    "nothing but infinity": array("<f4", (24, 24), np.full(576, np.inf, np.float32).tobytes()),
    "a header of 4 GiB": npy("{}", version=2, length=2**32 - 1),
    "a header that is nested deeply": npy("(" * 9000, version=2),
    "a header that computes": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9**9**9, 2), }"),
    "a header of another kind": npy("[1, 2, 3]"),
    "an unknown version": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1), }", b"a", version=9),
    "an archive of arrays": zipped(),
    "an archive that inflates to 64 MB": zip_bomb(),
    "a pickle": b"\x80\x04\x95\x0e\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
}
NO_LABELS = {
    "colours": ("png", saved(PIXELS, "png")),
    "another size": ("png", saved(LABELS[:7], "png")),
    "negative numbers": ("npy", saved(LABELS.astype(np.int16) - 1, "npy")),
    "fractions": ("npy", saved(LABELS + np.float32(0.5), "npy")),
    "NaN": ("npy", saved(np.where(LABELS == 1, np.float32(np.nan), LABELS), "npy")),
    "infinity": ("npy", saved(np.where(LABELS == 1, np.float32(np.inf), LABELS), "npy")),
    "numbers beyond 64 bits": ("npy", saved(np.where(LABELS == 1, 1e30, LABELS), "npy")),
    "text": ("npy", saved(LABELS.astype("U4"), "npy")),
    "complex numbers": ("npy", saved(LABELS.astype(np.complex64), "npy")),
    "a bomb of 60000 x 60000": ("png", png(60000, 60000, colour=0)),
    "13000 x 13000 in 100 bytes": ("png", png(13000, 13000, colour=0)),
    "terabytes": ("npy", array("<i8", (10**6, 10**6))),
}
