"""The peak of memory is that of this process, in bytes."""

import subprocess
import sys

from hf_rspin.cost import memory, peak_gpu_memory, peak_memory

MIB = 1 << 20
CODE = f"""
import runpy
peak_memory = runpy.run_path({memory.__file__!r})["peak_memory"]  # without the whole package
before = peak_memory()
held = bytearray(b"x") * (200 << 20)
during = peak_memory()
del held
print(before, during, peak_memory())
"""


def test_the_peak_grows_by_what_is_held_and_stays():
    held = bytearray(b"x") * (300 * MIB)  # by the caller, of which the program's peak is free
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, during, after = (int(word) / MIB for word in done.stdout.split())
    assert len(held) > during * MIB
    assert before + 150 < during < before + 250
    assert abs(after - during) < 10


def test_the_peak_is_plausible_and_a_cpu_is_no_gpu():
    assert 20 * MIB < peak_memory() < 1 << 40
    assert peak_gpu_memory("cpu") is None
