"""Files from the network: fetched once, resumed where it broke off, verified, and only then moved into place."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from sam_ft.partial_download import FileState, begin, content_range, discard, note_of, read_state, state_of

_log = logging.getLogger(__name__)

CACHE_VARIABLE = "SAM_FT_CACHE"
"""The environment variable that names the folder for what is fetched."""

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{6,32}")
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may well give the file a moment later."""

_PIECE = 1 << 18
"""The most bytes that are read at once."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to go on after a break."""

    timeout_s: float = 30.0  # without a single byte
    retries: int = 3  # in a row that bring nothing new; a server that never answered is not asked again
    pause_s: float = 1.0  # before the next attempt; doubled with each that brought nothing new


PATIENT = Patience()


class _BrokenError(Exception):
    """An attempt ended before the file was whole; the message says why."""


class _MisfitError(_BrokenError):
    """The server gives something that does not go on from what has come; that is of no use any more."""


class _SilentError(_BrokenError):
    """Nobody answered."""


class _RefusedError(_BrokenError):
    """The server answered that it does not give the file; to ask again is of no use."""


def cache_folder() -> Path:
    """Where fetched files are kept: `SAM_FT_CACHE`; else `sam-ft` in `XDG_CACHE_HOME`, which is `~/.cache` if unset."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser().absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # a relative one does not count, says its specification
    return (base if base.is_absolute() else Path.home() / ".cache") / "sam-ft"


def fetch(url: str, target: str | Path, *, checksum: str | None, patience: Patience = PATIENT) -> Path:
    """Makes sure that the file of an address lies at `target`, and returns `target`.

    A file that is there already is taken as it is, without asking the network. Otherwise the bytes are collected in
    `target` + `.partial`, with a progress bar on stderr, verified, and renamed. A break, also of an earlier call,
    is gone on from with a Range request, if the file is still the same: the first answer's ETag or Last-Modified, kept
    in `target` + `.partial.json`, is sent as If-Range. Where the pieces of several answers do not fit together, because
    the file changed between them or a server sent another part than asked for, it is fetched once more from its
    beginning; so it is where neither a checksum nor the server can tell whether they would.

    Of several processes that want the same file, one fetches it and the others wait: they share a lock on
    `target` + `.lock`, which the system frees when its holder dies. The empty lock file stays, since its removal could
    part those who wait for it.

    Args:
        url: an http or https address.
        target: where the file goes; missing folders are made.
        checksum: `sha256:` and 64 hexadecimal digits, or `md5:` and at least the first 6. None where nobody publishes
            one: then only its length is sure, and that its pieces are of one file, as far as the server says so; the
            caller has to look at the content.
        patience: timeout and retries.

    Raises:
        ValueError: the server cannot be reached, breaks off for good or refuses (what has come stays for the next
            call); the bytes are not those of the checksum (they are removed); `target` cannot be written. Each is one
            line; the first says which file to put where.
    """
    target = Path(target)
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"Expected an http or https address, but got {url!r}.")
    if checksum is not None and not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"Expected `checksum` as sha256:64 digits or md5:6 to 32 digits, but got {checksum!r}.")
    if target.is_file():
        return target
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not target.is_file():  # else another process has fetched it meanwhile
                _log.info("Fetching %s to %s.", url, target)
                _fill(partial, url=url, checksum=checksum, patience=patience)
                os.replace(partial, target)
                note_of(partial).unlink(missing_ok=True)
    except _BrokenError as err:
        num_kept = _resumable(partial, checksum)
        kept = f" {num_kept} bytes have come and stay for the next try." if num_kept else ""
        raise ValueError(
            f"Expected to fetch {url}, but {err}.{kept} Without a network, put that file at {target}."
        ) from err
    except OSError as err:
        raise ValueError(f"Expected to write {target}, but that failed: {err}.") from err
    return target


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Holds the lock of a target against other processes and threads."""
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("%s: another process is fetching it; waiting.", target)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fill(partial: Path, *, url: str, checksum: str | None, patience: Patience) -> None:
    """Brings the whole, verified file to `partial`.

    Raises:
        ValueError: the bytes are not those of the checksum; `partial` is gone then.
    """
    if checksum is None:
        _download(url, partial, checksum=None, patience=patience)
        return
    try:
        in_one = _download(url, partial, checksum=checksum, patience=patience)
    except _BrokenError:
        if _fits(partial, checksum):  # the server had promised more than there is
            return
        raise
    if not in_one and not _fits(partial, checksum):
        _log.warning("%s: what came in pieces does not fit together; once more from the beginning.", partial.name)
        discard(partial)
        _download(url, partial, checksum=checksum, patience=patience)
    if not _fits(partial, checksum):
        found = f"{_size(partial)} bytes with {checksum_of(partial, like=checksum)}"
        discard(partial)
        raise ValueError(f"Expected {checksum} for {url}, but got {found}: it is not that file, and was removed.")


def _download(url: str, partial: Path, *, checksum: str | None, patience: Patience) -> bool:
    """Asks until the server has no more to give; says whether all bytes came with one answer."""
    failures, most, answered = 0, _size(partial), False
    while True:
        try:
            return _receive(url, partial, offset=_resumable(partial, checksum), timeout_s=patience.timeout_s) == 0
        except _RefusedError:
            raise
        except _BrokenError as err:
            if isinstance(err, _MisfitError):
                discard(partial)
            failures = 0 if _size(partial) > most else failures + 1
            most = max(most, _size(partial))
            answered = answered or not isinstance(err, _SilentError)
            if not answered or failures > patience.retries:
                raise
            _log.warning("%s: %s after %d bytes; trying again.", partial.name, err, _size(partial))
        time.sleep(patience.pause_s * 2**failures)


def _resumable(partial: Path, checksum: str | None) -> int:
    """How many bytes may be gone on from: without a checksum, none whose state on the server has no name."""
    return 0 if checksum is None and read_state(partial).validator is None else _size(partial)


def _receive(url: str, partial: Path, *, offset: int, timeout_s: float) -> int:
    """Adds what one answer brings to the first `offset` bytes of `partial`; returns where the answer began."""
    known = read_state(partial) if offset else FileState()
    response = _ask(url, offset, known, timeout_s=timeout_s)
    if response is None:
        return offset
    with response:
        offset, state = _begin_of(response, offset, known)
        if not offset:
            begin(partial, state)
        bar = tqdm(
            initial=offset,
            total=state.num_bytes,
            desc=partial.stem,
            unit="B",
            unit_scale=True,
            mininterval=0.5 if sys.stderr.isatty() else 15,
            dynamic_ncols=True,
        )
        with bar, partial.open("ab") as file:
            for piece in _pieces(response, response.length, timeout_s=timeout_s):
                file.write(piece)
                bar.update(len(piece))
            file.flush()
            os.fsync(file.fileno())
    if state.num_bytes is not None and _size(partial) < state.num_bytes:
        raise _BrokenError(f"the server sent only a part, up to {_size(partial)} of {state.num_bytes} bytes")
    return offset


def _begin_of(response: http.client.HTTPResponse, offset: int, known: FileState) -> tuple[int, FileState]:
    """At which byte an answer begins, and which state of the file it is of.

    Raises:
        _MisfitError: It is not what follows the first `offset` bytes of the known state.
    """
    if response.status != http.client.PARTIAL_CONTENT:
        return 0, state_of(response.headers, num_bytes=response.length)
    start, total = content_range(response.headers)
    if start != offset:
        named = response.headers["Content-Range"]
        raise _MisfitError(f"the server sent {named!r} when it was asked for the bytes from {offset} on")
    state = state_of(response.headers, num_bytes=total)
    if offset and state.differs_from(known):
        raise _MisfitError("the file on the server has changed since its beginning came")
    return offset, state


def _ask(url: str, offset: int, known: FileState, *, timeout_s: float) -> http.client.HTTPResponse | None:
    """The server's answer to a request for the bytes from `offset` on; None where the known state ends there."""
    request = urllib.request.Request(url, headers={"User-Agent": "sam-ft"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if known.validator:
            request.add_header("If-Range", known.validator)
    try:
        return urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as err:
        err.close()
        if offset and err.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            total = content_range(err.headers)[1] or known.num_bytes
            if total == offset:
                return None
            raise _MisfitError(f"the file on the server has {total or 'another number of'} bytes") from err
        kind = _BrokenError if err.code in _TRY_AGAIN else _RefusedError
        raise kind(f"the server answers {err.code} {err.reason}".rstrip()) from err
    except (OSError, http.client.HTTPException) as err:
        raise _SilentError(_reason(err, timeout_s=timeout_s)) from err


def _pieces(response: http.client.HTTPResponse, length: int | None, *, timeout_s: float) -> Iterator[bytes]:
    """What arrives, as it arrives: `length` bytes, or until the server closes where it named no length."""
    received = 0
    while length is None or received < length:
        try:
            piece = response.read1(_PIECE)
        except (OSError, http.client.HTTPException) as err:
            raise _BrokenError(_reason(err, timeout_s=timeout_s)) from err
        if not piece:
            break
        received += len(piece)
        yield piece
    if length is not None and received < length:
        raise _BrokenError(f"the connection broke off {length - received} bytes before the promised end")


def _reason(err: BaseException, *, timeout_s: float) -> str:
    """Why the network failed, in one line."""
    if isinstance(err, urllib.error.URLError) and isinstance(err.reason, BaseException):
        err = err.reason
    if isinstance(err, TimeoutError):
        return f"nothing came for {timeout_s:g} s"
    return " ".join(str(err).split()) or type(err).__name__


def checksum_of(path: Path, *, like: str = f"sha256:{'0' * 64}") -> str:
    """The file's checksum, of the kind and length of another one."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{digest.hexdigest()}"[: len(like)]


def _fits(path: Path, checksum: str) -> bool:
    return path.is_file() and checksum_of(path, like=checksum) == checksum


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
