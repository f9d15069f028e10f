"""Single planes of volumes at once: from memory, else from the disk, else by decoding the volume."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from sam_ft.data.volumes.disk_cache import DiskCache, Facts
from sam_ft.download import cache_folder

Decode = Callable[[], np.ndarray]
Found = TypeVar("Found", np.ndarray, Facts)


class SliceCache:
    """Decoded volumes, plane by plane: on the disk up to a limit, and what has no room there in memory, up to another.

    A volume is decoded when one of its planes is first needed, once for all processes and runs as long as the disk
    has room. A plane is then read from the disk alone. Numbers about whole volumes (intensity ranges, which slice
    holds which object) are kept beside them.

    A process needs memory for one plane at a time, and once for each volume for the whole of it: twice its size in
    the file (inflated) while it is decoded, and up to three times for its intensity range. That is more for numbers
    stored as floating point: up to four times for labels, up to five for an image with a scaling. Objects of kind
    components_3d take ten bytes for each voxel while they are found, where classes do not overlap.

    Args:
        memory_mib: Decoded volumes kept in memory, in MiB for each process, of those that the disk has no room for; at
            least one is kept.
        disk_gib: The largest size of `folder`, in GiB; what nobody has read for the longest time is removed first.
            0: nothing but the numbers is kept there.
        folder: None: `volumes` in `sam_ft.download.cache_folder()`: `SAM_FT_CACHE`, else `~/.cache/sam-ft`.

    Raises:
        ValueError: A negative limit.
    """

    def __init__(self, *, memory_mib: float = 512, disk_gib: float = 10.0, folder: str | Path | None = None) -> None:
        if not memory_mib >= 0 or not disk_gib >= 0:
            raise ValueError(
                f"Expected `memory_mib` and `disk_gib` of 0 or more, but got {memory_mib} MiB and {disk_gib} GiB."
            )
        place = cache_folder() / "volumes" if folder is None else Path(folder).expanduser().absolute()
        self.disk = DiskCache(place, max_bytes=int(disk_gib * 2**30))
        self.max_memory_bytes = int(memory_mib * 2**20)
        self._memory: OrderedDict[str, np.ndarray] = OrderedDict()

    def plane(self, key: str, index: int, *, decode: Decode) -> np.ndarray:
        """(rows, columns) plane `index` of the volume `key`, which `decode` gives as (planes, rows, columns)."""

        def look() -> np.ndarray | None:
            planes = self._remembered(key)  # a view would keep the whole volume alive
            return self.disk.plane(key, index) if planes is None else planes[index].copy()

        shared = self.disk.max_bytes > 0
        return self._find(key, look=look, make=lambda: self._decoded(key, decode)[index].copy(), shared=shared)

    def whole(self, key: str, *, decode: Decode) -> np.ndarray:
        """(planes, rows, columns) all of the volume `key`."""

        def look() -> np.ndarray | None:
            planes = self._remembered(key)
            return self.disk.planes(key) if planes is None else planes

        return self._find(key, look=look, make=lambda: self._decoded(key, decode), shared=self.disk.max_bytes > 0)

    def facts(self, key: str, *, compute: Callable[[], Facts]) -> Facts:
        """What `compute` found out, now or in an earlier run; JSON's types."""

        def make() -> Facts:
            facts = compute()
            self.disk.keep_facts(key, facts)
            return facts

        return self._find(key, look=lambda: self.disk.facts(key), make=make, shared=True)

    def _find(self, key: str, *, look: Callable[[], Found | None], make: Callable[[], Found], shared: bool) -> Found:
        """What there is, else what is made; what processes share is made by one while the others wait for it."""
        found = look()
        if found is None and shared:
            with self.disk.turn(key) as is_first:
                found = look()  # another process may have made it meanwhile
                if found is None and is_first:
                    found = make()
        return make() if found is None else found

    def _remembered(self, key: str) -> np.ndarray | None:
        if key not in self._memory:
            return None
        self._memory.move_to_end(key)
        return self._memory[key]

    def _decoded(self, key: str, decode: Decode) -> np.ndarray:
        planes = decode()
        if not self.disk.keep_planes(key, planes):
            self._memory[key] = planes
            while len(self._memory) > 1 and self._num_bytes() > self.max_memory_bytes:
                self._memory.popitem(last=False)
        return planes

    def _num_bytes(self) -> int:
        return sum(planes.nbytes for planes in self._memory.values())

    def __getstate__(self) -> dict[str, object]:
        """What lies in memory is left behind when a worker gets a copy."""
        return self.__dict__ | {"_memory": OrderedDict()}
