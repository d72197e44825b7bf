"""What a machine is fast at is read from it; freed memory is used again."""

import subprocess
import sys

import pytest
import torch

from hf_rspin.device import check_device, has_fast_bfloat16

FAULTS = """
import resource, sys, torch
from hf_rspin.device import use_large_allocations
done = sys.argv[1] == "yes" and use_large_allocations()
def touch():
    return torch.ones(12 * 2**20)  # 48 MiB
for _ in range(20):  # until there is a free piece large enough
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    touch()
print(int(done), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


HOLES = """
import numpy as np
from hf_rspin.device import release_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
pieces = [np.ones(4_000) for _ in range(10_000)]  # 320 MB in pieces of 32 KB
kept = pieces[::100]  # what stays lies between what is freed
del pieces
before = resident()
print(int(release_memory()), before - resident())
"""


@pytest.mark.parametrize(
    "flags, answer",
    [({"amx_bf16": True}, True), ({"amx_bf16": False, "avx512_bf16": True}, True),
     ({"amx_bf16": False, "avx512_bf16": False}, False), ({}, False)],
)  # fmt: skip
def test_what_the_processor_says_decides(monkeypatch, flags, answer):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert has_fast_bfloat16("cpu") is answer
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert has_fast_bfloat16() is answer
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not answer)
    assert has_fast_bfloat16("cuda:0") is not answer


def test_devices_are_checked():
    assert check_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="'cpuu' cannot be used"):
        check_device("cpuu")
    if not torch.backends.mps.is_built():  # torch lists all of its backends
        with pytest.raises(ValueError, match="'mps' cannot be used .this torch is built without"):
            check_device("mps")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_large_tensors_use_their_memory_again():
    faults = {}
    for wanted in ("no", "yes"):
        command = [sys.executable, "-c", FAULTS, wanted]
        done, count = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.split()
        assert done == str(int(wanted == "yes"))
        faults[wanted] = int(count)
    assert faults["yes"] < 0.1 * faults["no"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory is resident")
def test_freed_memory_between_what_is_kept_goes_back():
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    released, given_back = map(int, done.stdout.split())
    if not released:  # another C library
        pytest.skip("malloc_trim is glibc's")
    assert given_back > 200e6
