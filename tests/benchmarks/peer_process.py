"""A peer in an environment and a process of its own, for packages that the project does not depend on."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

ENVIRONMENTS = Path("runs/benchmarks/environments")
_WORKER = Path(__file__).with_name("peer_worker.py")


def environment(
    name: str, requirements: Sequence[str], *, beside_ours: bool = False, pip_options: Sequence[str] = ()
) -> Path:
    """The Python of an environment with the peer in it; made at the first call, and anew when the arguments change.

    Args:
        name: of its folder below `runs/benchmarks/environments`.
        requirements: exact, such as "nnunetv2==2.5.1"; NumPy is always there.
        beside_ours: our own packages can be imported too where the peer brings none of that name, so that PyTorch
            need not be installed twice.
        pip_options: more options of `pip install`, such as `["--no-deps"]`.
    """
    folder = ENVIRONMENTS.absolute() / name
    stamp, wanted = folder / "made-from.json", json.dumps([list(requirements), beside_ours, list(pip_options)])
    python = folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Making the environment of {name} in {folder} ...", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    if beside_ours:
        [site] = (folder / "lib").glob("python*/site-packages")
        ours = [path for path in sys.path if path.endswith("site-packages")]
        (site / "beside_ours.pth").write_text("\n".join(ours) + "\n", encoding="utf-8")
    packages = [*requirements, *([] if beside_ours else ["numpy"])]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pip_options, *packages]
    subprocess.run(pip, check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


class PeerProcess:
    """A `Side` that works in another Python; time is taken there, so that talking to it costs nothing.

    The script defines `prepare(folder: Path) -> Callable[[], dict[str, numpy.ndarray]]`: it reads its work from the
    folder, once, and returns what is timed. It imports nothing of ours.

    Args:
        python: what `environment` returned.
        script: the file with `prepare`.
        folder: of the work that this process has written down for it.
    """

    def __init__(self, python: Path, script: Path, *, folder: Path) -> None:
        command = [str(python), str(_WORKER), str(script), str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask({})  # waits until it is prepared

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # closing its input ends it

    def seconds(self, repeats: int) -> float:
        return float(self._ask({"repeats": repeats})["seconds"])

    def output(self) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "output.npz"
            self._ask({"output": str(path)})
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)

    def peak_mib(self) -> float:
        """The most memory that the process has had so far."""
        return float(self._ask({"peak": True})["peak_mib"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("Expected pipes to the peer's process, but there are none.")
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        if not (answer := stdout.readline()):
            raise RuntimeError(f"The peer's process ended with code {self._process.wait()}; what it said is above.")
        return dict(json.loads(answer))
