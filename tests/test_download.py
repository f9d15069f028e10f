"""Fetching from servers on the loopback that are slow, break off, lie, or serve something else."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sam_ft import download
from sam_ft.download import Patience, cache_folder, fetch

CONTENT = random.Random(0).randbytes(200_000)
HALF = len(CONTENT) // 2
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = hashlib.md5(CONTENT).hexdigest()
QUICK = Patience(timeout_s=5, retries=2, pause_s=0.001)
HASTY = Patience(timeout_s=0.5, retries=2, pause_s=0.001)

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; what answers it is the server's `answer`."""

    server: Server

    def do_GET(self) -> None:
        with self.server.noting:
            self.server.ranges.append(self.headers["Range"])
            self.server.conditions.append(self.headers["If-Range"])
            self.number = len(self.server.ranges)
        self.server.answer(self)

    @property
    def start(self) -> int:
        """The offset that is asked for; 0 where it asks for all."""
        return int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def head(self, status: int, *, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Answers as a test says, and notes which ranges were asked for, and if what."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answer = answer
        self.ranges: list[str | None] = []
        self.conditions: list[str | None] = []
        self.noting = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights/sam.pth"

    def handle_error(self, *arguments: object) -> None:
        """Nothing: a client that leaves is part of these tests."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Server]]:
    monkeypatch.setenv("no_proxy", "*")
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "sam.pth"


def partial_of(target: Path, content: bytes | None = None) -> Path:
    """Where the bytes of a file that is not whole yet lie, with some in it if given."""
    partial = target.with_name("sam.pth.partial")
    if content is not None:
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
    return partial


def assert_fetched(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert {path.name for path in target.parent.iterdir()} <= {"sam.pth", "sam.pth.lock"}


def failure(url: str, target: Path, *, checksum: str | None = CHECKSUM, patience: Patience = QUICK) -> str:
    """The message of a call that must fail, which is one line and leaves no file in the target's place."""
    with pytest.raises(ValueError) as caught:
        fetch(url, target, checksum=checksum, patience=patience)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Answers


def whole(request: Request) -> None:
    """The file, whatever range was asked for."""
    request.head(200, length=len(CONTENT))
    request.wfile.write(CONTENT)


def ranged(request: Request, *, until: int = len(CONTENT)) -> None:
    """The file from where it was asked for, as servers that know ranges answer; it breaks off at `until`."""
    if request.start >= len(CONTENT):
        request.head(416, length=0, Content_Range=f"bytes */{len(CONTENT)}")
        return
    span = f"bytes {request.start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    more = {"Content_Range": span} if request.headers["Range"] else {}
    request.head(206 if more else 200, length=len(CONTENT) - request.start, **more)
    request.wfile.write(CONTENT[request.start : until])


# All is well


@pytest.mark.parametrize("checksum", [CHECKSUM, f"md5:{MD5}", f"md5:{MD5[:6]}"], ids=["sha256", "md5", "prefix"])
def test_the_file_is_fetched_verified_and_moved_into_place(serve, target, checksum):
    server = serve(ranged)
    assert fetch(server.url, target, checksum=checksum, patience=QUICK) == target
    assert_fetched(target)
    assert server.ranges == [None]


def test_a_second_call_does_not_ask_the_network(serve, target):
    server = serve(whole)
    for _ in range(2):
        fetch(server.url, str(target), checksum=CHECKSUM, patience=QUICK)
    assert len(server.ranges) == 1


def test_progress_is_shown_with_the_files_name(serve, target, capsys):
    fetch(serve(whole).url, target, checksum=CHECKSUM, patience=QUICK)
    shown = capsys.readouterr().err
    assert "sam.pth: 100%" in shown
    assert "200k/200k" in shown


def test_a_slow_server_may_take_longer_than_the_timeout_in_all(serve, target):
    def slow(request: Request) -> None:
        request.head(200, length=len(CONTENT))
        for begin in range(0, len(CONTENT), len(CONTENT) // 8):
            time.sleep(0.1)
            request.wfile.write(CONTENT[begin : begin + len(CONTENT) // 8])

    server, began = serve(slow), time.monotonic()
    fetch(server.url, target, checksum=CHECKSUM, patience=HASTY)
    assert time.monotonic() - began > HASTY.timeout_s
    assert_fetched(target)
    assert server.ranges == [None]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_that_names_no_length_is_read_to_its_end(serve, target, chunked):
    def endless(request: Request) -> None:
        request.protocol_version = "HTTP/1.1" if chunked else "HTTP/1.0"
        request.close_connection = True
        request.head(200, length=None, **({"Transfer_Encoding": "chunked"} if chunked else {}))
        for begin in range(0, len(CONTENT), 50_000):
            piece = CONTENT[begin : begin + 50_000]
            request.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        request.wfile.write(b"0\r\n\r\n" if chunked else b"")

    fetch(serve(endless).url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)


def test_a_redirection_is_followed_with_the_range(serve, target):
    storage = serve(ranged)
    server = serve(lambda request: request.head(302, length=0, Location=storage.url))
    partial_of(target, CONTENT[:HALF])
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert storage.ranges == [f"bytes={HALF}-"]


def test_without_a_published_checksum_the_promised_length_still_counts(serve, target):
    server = serve(lambda request: ranged(request, until=HALF))
    message = failure(server.url, target, checksum=None)
    assert f"{HALF} bytes before the promised end" in message
    assert partial_of(target).read_bytes() == CONTENT[:HALF]


# It breaks off


def test_a_broken_connection_is_gone_on_from_where_it_broke(serve, target):
    server = serve(lambda request: ranged(request, until=HALF if request.number == 1 else len(CONTENT)))
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_retries_are_counted_from_the_last_time_that_something_new_came(serve, target):
    server = serve(lambda request: ranged(request, until=request.start + 20_000))
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [None, *(f"bytes={begin}-" for begin in range(20_000, 200_000, 20_000))]


def test_what_came_before_giving_up_is_kept_for_the_next_call(serve, target):
    server = serve(lambda request: ranged(request, until=HALF))
    message = failure(server.url, target)
    assert server.ranges == [None] + [f"bytes={HALF}-"] * (1 + QUICK.retries)
    assert f"{HALF} bytes before the promised end" in message
    assert f"{HALF} bytes have come and stay" in message
    assert partial_of(target).read_bytes() == CONTENT[:HALF]
    server.ranges, server.answer = [], ranged
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [f"bytes={HALF}-"]


def test_a_connection_that_stalls_times_out_and_is_gone_on_from_there(serve, target):
    over = threading.Event()

    def stalling(request: Request) -> None:
        ranged(request, until=HALF if request.number == 1 else len(CONTENT))
        if request.number == 1:
            over.wait(30)

    server, began = serve(stalling), time.monotonic()
    fetch(server.url, target, checksum=CHECKSUM, patience=HASTY)
    over.set()
    assert HASTY.timeout_s < time.monotonic() - began < 5
    assert_fetched(target)
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_a_server_that_accepts_and_never_answers_is_given_up(serve, target):
    over = threading.Event()
    server = serve(lambda request: over.wait(30) and None)
    message = failure(server.url, target, patience=HASTY)
    over.set()
    assert "nothing came for 0.5 s" in message
    assert str(target) in message


def test_a_server_that_ignores_ranges_is_read_from_its_beginning(serve, target):
    server = serve(whole)
    partial_of(target, CONTENT[:HALF])
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [f"bytes={HALF}-"]


def test_a_server_that_ignores_ranges_and_always_breaks_off_is_given_up(serve, target):
    def half(request: Request) -> None:
        request.head(200, length=len(CONTENT))
        request.wfile.write(CONTENT[:HALF])

    server = serve(half)
    failure(server.url, target)
    assert len(server.ranges) == 1 + 1 + QUICK.retries  # the first brought something new
    assert partial_of(target).read_bytes() == CONTENT[:HALF]


def test_a_whole_file_that_was_not_moved_yet_costs_no_second_download(serve, target):
    server = serve(ranged)
    partial_of(target, CONTENT)
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("old", [bytes(HALF), CONTENT + b"more"], ids=["another file", "a longer file"])
def test_pieces_of_a_file_that_changed_are_thrown_away(serve, target, old):
    server = serve(ranged)
    partial_of(target, old)
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [f"bytes={len(old)}-", None]


def test_a_server_that_sends_another_part_than_asked_for_is_not_believed(serve, target):
    def elsewhere(request: Request) -> None:
        if request.start:
            request.head(206, length=10, Content_Range=f"bytes 0-9/{len(CONTENT)}")
            request.wfile.write(CONTENT[:10])
        else:
            whole(request)

    server = serve(elsewhere)
    partial_of(target, CONTENT[:HALF])
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [f"bytes={HALF}-", None]


# It changes, and nobody publishes a checksum


def versioned(content: bytes, *, until: int | None = None, heeds: bool = True, part: str = "", **names: str) -> Answer:
    """A file as careful servers give it: its state has a name, and a part is only given of the state that is asked for.

    Args:
        content: The file.
        until: Where it breaks off.
        heeds: Whether If-Range is heeded.
        part: What stands in Content-Range instead of what is sent.
        names: ETag or Last_Modified.
    """

    def answer(request: Request) -> None:
        condition = request.headers["If-Range"]
        start = request.start if not heeds or condition in (None, *names.values()) else 0
        if start >= len(content):
            request.head(416, length=0, Content_Range=f"bytes */{len(content)}")
            return
        span = part or f"bytes {start}-{len(content) - 1}/{len(content)}"
        more = {"Content_Range": span} if start else {}
        request.head(206 if more else 200, length=len(content) - start, **more, **names)
        request.wfile.write(content[start:until])

    return answer


DATES = {"Last_Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
NEWER = {"Last_Modified": "Thu, 22 Oct 2015 07:28:00 GMT"}
OTHER = random.Random(1).randbytes(len(CONTENT))


def half_of(serve: Callable[[Answer], Server], target: Path, content: bytes, **names: str) -> Server:
    """A server of whose file half has come in a call that was given up."""
    server = serve(versioned(content, until=HALF, **names))
    failure(server.url, target, checksum=None, patience=Patience(timeout_s=5, retries=0, pause_s=0.001))
    assert partial_of(target).read_bytes() == content[:HALF]
    server.ranges, server.conditions = [], []
    return server


@pytest.mark.parametrize("names", [{"ETag": '"one"'}, DATES, {"ETag": '"one"'} | DATES], ids=["tag", "date", "both"])
def test_without_a_checksum_pieces_of_two_calls_are_put_together_if_the_file_is_still_the_same(serve, target, names):
    server = half_of(serve, target, CONTENT, **names)
    server.answer = versioned(CONTENT, **names)
    assert fetch(server.url, target, checksum=None, patience=QUICK) == target
    assert_fetched(target)
    assert server.ranges == [f"bytes={HALF}-"]
    assert server.conditions == [next(iter(names.values()))]


@pytest.mark.parametrize(("old", "new"), [({"ETag": '"one"'}, {"ETag": '"two"'}), (DATES, NEWER)], ids=["tag", "date"])
@pytest.mark.parametrize("heeds", [True, False])
def test_without_a_checksum_a_file_that_changed_is_fetched_from_its_beginning(serve, target, old, new, heeds):
    server = half_of(serve, target, OTHER, **old)
    server.answer = versioned(CONTENT, heeds=heeds, **new)
    fetch(server.url, target, checksum=None, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [f"bytes={HALF}-"] + [None] * (not heeds)


@pytest.mark.parametrize("names", [{}, {"ETag": 'W/"one"'}], ids=["nothing", "a weak tag"])
def test_without_a_checksum_nothing_is_gone_on_from_whose_state_has_no_name(serve, target, names):
    server = serve(versioned(OTHER, until=HALF, **names))
    message = failure(server.url, target, checksum=None)
    assert f"{HALF} bytes before the promised end" in message and "stay for the next try" not in message
    assert set(server.ranges) == {None}
    server.answer = versioned(CONTENT, **names)
    fetch(server.url, target, checksum=None, patience=QUICK)
    assert_fetched(target)


@pytest.mark.parametrize("note", [None, "", "{", "[]", '{"etag": 3}', '{"etag": "\\u00e9\\n"}'])
def test_without_a_checksum_bytes_of_which_nothing_is_known_are_fetched_anew(serve, target, note):
    server = half_of(serve, target, OTHER, ETag='"one"')
    path = target.with_name("sam.pth.partial.json")
    path.unlink() if note is None else path.write_text(note)
    server.answer = versioned(CONTENT, ETag='"one"')
    fetch(server.url, target, checksum=None, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [None]


@pytest.mark.parametrize(
    "part", ["bytes 0-9/200000", "bytes 100001-199999/200000", "bytes 100000-199999/300000", "bytes */200000", "all"]
)
def test_without_a_checksum_another_part_than_asked_for_is_not_believed(serve, target, part):
    server = half_of(serve, target, OTHER, ETag='"one"')
    server.answer = versioned(CONTENT, part=part, ETag='"one"')
    fetch(server.url, target, checksum=None, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [f"bytes={HALF}-", None]


def test_without_a_checksum_a_part_that_ends_too_soon_is_gone_on_from(serve, target):
    def piecemeal(request: Request) -> None:
        if not request.start:
            versioned(CONTENT, until=HALF, ETag='"one"')(request)
            return
        stop = min(request.start + 60_000, len(CONTENT))
        request.head(206, length=stop - request.start, Content_Range=f"bytes {request.start}-{stop - 1}/{len(CONTENT)}")
        request.wfile.write(CONTENT[request.start : stop])

    server = serve(piecemeal)
    fetch(server.url, target, checksum=None, patience=QUICK)
    assert_fetched(target)
    assert server.ranges == [None, "bytes=100000-", "bytes=160000-"]


def test_without_a_checksum_a_whole_file_is_only_taken_if_the_server_has_no_more(serve, target):
    server = half_of(serve, target, CONTENT, ETag='"one"')
    server.answer = versioned(CONTENT[:HALF], ETag='"one"')  # as long as what is here
    fetch(server.url, target, checksum=None, patience=QUICK)
    assert target.read_bytes() == CONTENT[:HALF] and server.ranges == [f"bytes={HALF}-"]
    target.unlink()
    server = half_of(serve, target, OTHER, ETag='"one"')
    server.answer = versioned(CONTENT[: HALF - 1], heeds=False, ETag='"two"')  # shorter
    fetch(server.url, target, checksum=None, patience=QUICK)
    assert target.read_bytes() == CONTENT[: HALF - 1] and server.ranges == [f"bytes={HALF}-", None]


def test_a_server_that_never_gives_the_part_asked_for_is_given_up(serve, target):
    def stubborn(request: Request) -> None:
        request.head(206, length=10, Content_Range="bytes 5-14/200000", ETag='"one"')
        request.wfile.write(CONTENT[:10])

    server = serve(stubborn)
    assert "the server sent 'bytes 5-14/200000' when it was asked" in failure(server.url, target, checksum=None)
    assert len(server.ranges) == 1 + QUICK.retries


# It lies


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_length_beyond_the_files_end_does_no_harm(serve, target, knows_ranges):
    def boastful(request: Request) -> None:
        if knows_ranges and request.start:
            ranged(request)
        else:
            request.head(200, length=len(CONTENT) + 1000)
            request.wfile.write(CONTENT)

    server = serve(boastful)
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)
    assert set(server.ranges) == {None, f"bytes={len(CONTENT)}-"}


def test_a_length_short_of_the_files_end_is_refused_as_another_file(serve, target):
    def modest(request: Request) -> None:
        request.head(200, length=HALF)
        request.wfile.write(CONTENT)

    message = failure(serve(modest).url, target)
    assert f"got {HALF} bytes with sha256:" in message
    assert not partial_of(target).exists()


@pytest.mark.parametrize("checksum", [CHECKSUM, f"md5:{MD5[:6]}"])
def test_wrong_bytes_are_removed_and_both_checksums_named(serve, target, checksum):
    wrong = b"<html>Please log in</html>"

    def portal(request: Request) -> None:
        request.head(200, length=len(wrong))
        request.wfile.write(wrong)

    server = serve(portal)
    message = failure(server.url, target, checksum=checksum)
    algorithm, _, digits = checksum.partition(":")
    found = f"{algorithm}:{hashlib.new(algorithm, wrong).hexdigest()[: len(digits)]}"
    assert f"Expected {checksum} for {server.url}, but got {len(wrong)} bytes with {found}" in message
    assert not partial_of(target).exists()
    assert server.ranges == [None]


# It does not give the file


def test_an_address_without_the_file_is_asked_once(serve, target):
    server = serve(lambda request: request.head(404, length=0))
    message = failure(server.url, target)
    assert f"Expected to fetch {server.url}, but the server answers 404 Not Found." in message
    assert len(server.ranges) == 1


def test_a_busy_server_is_asked_again(serve, target):
    server = serve(lambda request: whole(request) if request.number == 3 else request.head(503, length=0))
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    assert_fetched(target)


def test_without_a_network_one_line_says_which_file_to_put_where(target):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # taken, but nobody listens
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/sam.pth"
        message = failure(url, target, patience=Patience(pause_s=60))
    assert "Connection refused" in message
    assert f"Expected to fetch {url}, but" in message
    assert message.endswith(f"Without a network, put that file at {target}.")


def test_a_file_that_was_put_in_place_is_taken(target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert fetch("http://127.0.0.1:9/sam.pth", target, checksum=CHECKSUM) == target
    assert list(target.parent.iterdir()) == [target]  # no lock either: the folder may be read-only


def test_a_folder_that_cannot_be_made_is_named(tmp_path, serve):
    (tmp_path / "file").touch()
    server = serve(whole)
    assert "file/sam.pth, but that failed" in failure(server.url, tmp_path / "file" / "sam.pth")
    assert server.ranges == []


@pytest.mark.parametrize(
    ("url", "checksum", "reason"),
    [
        ("ftp://127.0.0.1/sam.pth", CHECKSUM, "an http or https address, but got 'ftp://"),
        ("http://127.0.0.1/sam.pth", CHECKSUM[:-1], "sha256:64 digits or md5:6 to 32 digits"),
        ("http://127.0.0.1/sam.pth", "md5:4b893", "but got 'md5:4b893'"),
        ("http://127.0.0.1/sam.pth", "", "but got ''"),
    ],
)
def test_an_address_or_checksum_of_another_kind_is_refused(target, url, checksum, reason):
    assert reason in failure(url, target, checksum=checksum)


# Several at once

PROCESS = """
import logging, sys, types
package = sys.modules["sam_ft"] = types.ModuleType("sam_ft")
package.__path__ = [sys.argv[1]]
from sam_ft import download
logging.basicConfig(format="%(message)s", level=logging.INFO)
print("ready", flush=True)
download.fetch(*sys.argv[2:4], checksum=sys.argv[4])
"""


def start_process(server: Server, target: Path) -> subprocess.Popen[str]:
    """Another process that fetches the file, without what the package imports: torch would take seconds."""
    command = [sys.executable, "-c", PROCESS, str(Path(download.__file__).parent), server.url, str(target), CHECKSUM]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def held_back(until: threading.Event) -> Answer:
    """The file, of which the second half waits."""

    def answer(request: Request) -> None:
        request.head(200, length=len(CONTENT))
        request.wfile.write(CONTENT[:HALF])
        until.wait(30)
        request.wfile.write(CONTENT[HALF:])

    return answer


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen within 30 s"
        time.sleep(0.01)


def test_of_two_processes_one_fetches_and_the_other_waits_for_it(serve, target):
    both_started = threading.Event()
    server = serve(held_back(both_started))
    processes = [start_process(server, target) for _ in range(2)]
    wait_for(lambda: len(server.ranges) > 0)
    time.sleep(0.3)  # for a second request, if there were one
    assert not target.exists()
    both_started.set()
    logs = [process.communicate(timeout=30)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert server.ranges == [None]
    assert sorted("another process is fetching it" in log for log in logs) == [False, True]
    assert_fetched(target)


def test_a_killed_process_leaves_its_bytes_and_no_lock(serve, target):
    never = threading.Event()
    server = serve(held_back(never))
    process = start_process(server, target)
    wait_for(lambda: partial_of(target).exists() and partial_of(target).stat().st_size > 0)
    process.kill()
    process.communicate(timeout=30)
    kept = partial_of(target).stat().st_size
    server.ranges, server.answer = [], ranged
    fetch(server.url, target, checksum=CHECKSUM, patience=QUICK)
    never.set()
    assert_fetched(target)
    assert server.ranges == [f"bytes={kept}-"]


# The cache folder


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SAM_FT_CACHE": "/data/cache", "XDG_CACHE_HOME": "/xdg"}, "/data/cache"),
        ({"SAM_FT_CACHE": "~/models"}, "/home/me/models"),
        ({"SAM_FT_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/sam-ft"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/sam-ft"),
        ({}, "/home/me/.cache/sam-ft"),
    ],
)
def test_the_cache_folder_follows_the_environment(monkeypatch, variables, expected):
    for name in ("SAM_FT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
