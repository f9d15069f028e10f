from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS_OF_TEN_TENSORS = """
import resource, sys
import torch
from sam_ft.host_memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.ones(2**24)  # 64 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_the_next_tensor_takes_the_memory_of_the_last_one() -> None:
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", FAULTS_OF_TEN_TENSORS, how]))
        for how in ("kept", "given_back")
    }
    assert 5 * faults["kept"] < faults["given_back"]
