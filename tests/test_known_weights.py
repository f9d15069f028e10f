from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from sam_ft.checkpoints import load_model, read_state_dict, save_meta
from sam_ft.known_weights import PUBLISHED, SHIPPED, Published, names, weights_path
from sam_ft.models.sam.variants import build_model


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAM_FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server of the files in `tmp_path / "published"`."""
    (tmp_path / "published").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "published")) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_published_model_is_loaded_by_its_name_and_fetched_once(tmp_path, address, cache, monkeypatch):
    model = build_model("vit_tiny", image_size=64)
    file = tmp_path / "published" / "sam_small_012345.pth"
    save_meta(model, file)
    checksum = f"md5:{hashlib.md5(file.read_bytes()).hexdigest()[:6]}"
    monkeypatch.setitem(PUBLISHED, "sam_vit_b", Published(f"{address}/{file.name}", checksum))
    assert load_model("sam_vit_b").image_size == 64
    assert (cache / file.name).is_file()
    file.unlink()
    again = load_model("sam_vit_b", image_size=128)
    assert again.image_size == 128
    for name, tensor in model.mask_decoder.state_dict().items():
        assert torch.equal(again.mask_decoder.state_dict()[name], tensor), name


def test_a_name_whose_file_cannot_be_fetched_says_where_to_put_it(address, cache, monkeypatch):
    monkeypatch.setitem(PUBLISHED, "sam_vit_b", Published(f"{address}/absent.pth", "md5:012345"))
    with pytest.raises(ValueError, match=f"{address}/absent.pth, but .* put that file at {cache}/absent.pth"):
        load_model("sam_vit_b")


def test_an_unknown_name_lists_the_known_ones(cache):
    with pytest.raises(ValueError, match=r"sam_vit_x, but nothing is there; by name there is .*") as caught:
        read_state_dict("sam_vit_x")
    assert {"vit_tiny_phantoms", "sam_vit_b", "sam_vit_l", "sam_vit_h", "medsam_vit_b"} <= set(names())
    assert all(name in str(caught.value) for name in names())
    assert not cache.exists()


def test_a_path_stays_what_it_is_and_a_shipped_name_needs_no_network(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sam_vit_b").touch()
    assert weights_path("./sam_vit_b").samefile(tmp_path / "sam_vit_b")
    assert weights_path(tmp_path) == tmp_path
    assert weights_path("vit_tiny_phantoms") == SHIPPED["vit_tiny_phantoms"]
    assert weights_path("vit_tiny_phantoms").is_file()
    assert not cache.exists()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_has_a_whole_checksum_and_a_secure_address(name):
    published = PUBLISHED[name]
    assert published.url.startswith("https://")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", published.checksum)
    assert re.fullmatch(rf"{name}(_[0-9a-f]{{6}})?\.pth", published.file_name)
