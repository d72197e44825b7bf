"""The kernels of soft-DTW: each equals plain PyTorch, which is the reference."""

import importlib.util
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from hf_rspin.losses import soft_dtw
from hf_rspin.losses.soft_dtw.backend_torch import align as align_with_torch

SHAPES = [(1, 1), (1, 9), (9, 1), (5, 3), (63, 64), (64, 65), (130, 40), (40, 130)]
HAS_TRITON = importlib.util.find_spec("triton") is not None


def problem(shape, dtype, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, n, 4, generator=generator, dtype=torch.float64) for n in shape)
    tensors = (x @ y.mT, x.square().sum(2), y.square().sum(2))
    rows, columns = shape
    lengths = [shape, (max(1, rows - 2), max(1, columns // 2)), (1, columns)]
    return [tensor.to(device, dtype) for tensor in tensors], lengths


def check_against_torch(align, shape, dtype, device="cpu"):
    (products, *norms), lengths = problem(shape, dtype, device)
    expected, found, unused = products.clone(), products.clone(), products.clone()
    values = align_with_torch(expected, *norms, 0.3, lengths, True)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for alignment, want in ((found, True), (unused, False)):
        result = align(alignment, *norms, 0.3, lengths, want)
        assert result.dtype == torch.float64
        torch.testing.assert_close(result, values, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    for item, (rows, columns) in enumerate(lengths):
        assert (found[item, rows:] == 0).all() and (found[item, :, columns:] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_compiled_loops_equal_plain_torch(shape, dtype):
    from hf_rspin.losses.soft_dtw.backend_cpu import align

    check_against_torch(align, shape, dtype)


def test_compiled_loops_do_not_depend_on_the_number_of_threads():
    from hf_rspin.losses.soft_dtw.backend_cpu import align

    results = []
    threads = torch.get_num_threads()
    for number in (1, 2, 5):
        torch.set_num_threads(number)
        try:
            (products, *norms), lengths = problem((70, 80), torch.float32)
            results.append((align(products, *norms, 0.1, lengths, True), products))
        finally:
            torch.set_num_threads(threads)
    for values, alignment in results[1:]:
        assert torch.equal(values, results[0][0]) and torch.equal(alignment, results[0][1])


@pytest.mark.parametrize("gamma", [1e-6, 0.01, 1.0, 1e4])
def test_compiled_exponential_and_logarithm_hold_over_the_range_of_gamma(gamma):
    from hf_rspin.losses.soft_dtw.backend_cpu import align

    (products, *norms), lengths = problem((30, 25), torch.float64)
    expected = products.clone()
    values = align_with_torch(expected, *norms, gamma, lengths, True)
    found = align(products, *norms, gamma, lengths, True)
    torch.testing.assert_close(found, values, rtol=1e-13, atol=1e-10)
    torch.testing.assert_close(products, expected, rtol=1e-9, atol=1e-11)


def test_without_numba_plain_torch_gives_the_same(monkeypatch):
    torch.manual_seed(0)
    x, y = torch.randn(2, 30, 4, requires_grad=True), torch.randn(2, 20, 4)
    found = soft_dtw(x, y, 0.1, [30, 11])
    monkeypatch.setattr(
        import_module("hf_rspin.losses.soft_dtw.divergence"), "find_spec", lambda name: None
    )
    monkeypatch.setitem(sys.modules, "hf_rspin.losses.soft_dtw.backend_cpu", None)
    plain = soft_dtw(x, y, 0.1, [30, 11])
    torch.testing.assert_close(found, plain)
    gradients = [torch.autograd.grad(values.sum(), x)[0] for values in (found, plain)]
    torch.testing.assert_close(*gradients)


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
@pytest.mark.skipif(torch.cuda.is_available(), reason="tested on the GPU itself")
def test_triton_interpreted_on_the_cpu_equals_plain_torch():
    """In a process of its own, as the interpreter is chosen when Triton is imported."""
    code = (
        "import runpy, torch\n"
        "import hf_rspin.losses.soft_dtw.backend_triton as kernels\n"
        "kernels.LARGEST_BLOCK = 32\n"
        f"check = runpy.run_path({str(Path(__file__))!r})['check_against_torch']\n"
        "for shape in [(1, 1), (1, 5), (4, 3), (34, 33)]:\n"
        "    for dtype in (torch.float32, torch.float64):\n"
        "        check(kernels.align, shape, dtype)\n"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(not (HAS_TRITON and torch.cuda.is_available()), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [*SHAPES, (1100, 1030), (2500, 3)])
def test_triton_on_the_gpu_equals_plain_torch(shape, dtype):
    from hf_rspin.losses.soft_dtw.backend_triton import align

    check_against_torch(align, shape, dtype, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_values_and_gradients_on_the_gpu_equal_those_on_the_cpu():
    torch.manual_seed(0)
    x, y = torch.randn(2, 90, 8, dtype=torch.float64), torch.randn(2, 70, 8, dtype=torch.float64)
    results = []
    for device in ("cpu", "cuda"):
        inputs = [z.to(device).requires_grad_() for z in (x, y)]
        values = soft_dtw(*inputs, 0.1, [90, 33], [20, 70])
        results.append([values, *torch.autograd.grad(values.sum(), inputs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-9, atol=1e-11)
