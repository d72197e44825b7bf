"""Tensors of a checkpoint before their numbers are read: where they lie, checked against the file.

These are the only calls and persistent ids of a pickle that mean anything to us: rebuilding a
tensor on a storage, and an ordered dict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hf_rspin.inert_pickle import CheckpointError, Global, Inert, is_simple_key

DTYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
    "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
}  # fmt: skip
STORAGE_CLASSES = {f"torch.{name}Storage": dtype for name, dtype in DTYPES.items()}
MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of numbers in a checkpoint.

    Attributes:
        key: its name in the checkpoint.
        dtype: of its elements.
        count: how many elements the checkpoint claims; the reader compares with what is there.
    """

    key: str
    dtype: torch.dtype
    count: int

    @property
    def size(self) -> int:
        """Bytes claimed."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A view of a storage that does not reach outside of it; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of its elements."""
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def view(self, data: bytes | bytearray) -> Tensor:
        """Return the tensor over the bytes of its storage, which `data` must hold in full."""
        flat = torch.frombuffer(data, dtype=self.storage.dtype, count=self.storage.count)
        return flat.as_strided(self.shape, self.strides, self.offset)


def read_storage_id(persistent_id: Any) -> Storage | Inert:
    """Return the storage of a persistent id ("storage", class, key, device, count[, view])."""
    match persistent_id:
        case ("storage", Global(name=name), str() as key, _, int() as count, *view):
            if name not in STORAGE_CLASSES or any(part is not None for part in view):
                return Inert(name)
            if not 0 <= count < 1 << 48:
                raise CheckpointError(f"a storage claims to hold {count} elements.")
            return Storage(key, STORAGE_CLASSES[name], count)
    return Inert("?")


def rebuild_tensor(arguments: tuple) -> StoredTensor | Inert:
    """Return the tensor that `torch._utils._rebuild_tensor(_v2)` would build.

    Raises:
        CheckpointError: it reaches outside its storage, or repeats elements to be larger than it.
    """
    match arguments:
        case (Storage() as storage, int() as offset, tuple() as shape, tuple() as strides, *_):
            numbers = (offset, *shape, *strides)
            whole = all(type(number) is int and number >= 0 for number in numbers)
            if not whole or len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
                raise CheckpointError("a tensor has no valid shape.")
            _check_bounds(storage, offset, shape, strides)
            return StoredTensor(storage, offset, shape, strides)
    return Inert("torch.Tensor")


def _check_bounds(
    storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    if max(offset, *shape, *strides, 0) >= 1 << 48:
        raise CheckpointError("a tensor has no valid shape.")
    elements = math.prod(shape)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if elements > storage.count or (elements and last >= storage.count):
        raise CheckpointError(f"a tensor of shape {shape} reaches outside its storage.")


def rebuild_parameter(arguments: tuple) -> StoredTensor | Inert:
    """Return the tensor of a parameter."""
    match arguments:
        case (StoredTensor() as tensor, *_):
            return tensor
    return Inert("torch.nn.Parameter")


def rebuild_dict(arguments: tuple) -> dict:
    """Return the dict of an ordered one: empty, or with the pairs that are given."""
    match arguments:
        case (list() as pairs,):
            pairs = [pair for pair in pairs if type(pair) in (list, tuple) and len(pair) == 2]
            return {key: value for key, value in pairs if is_simple_key(key)}
    return {}


BUILDERS = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
    "collections.OrderedDict": rebuild_dict,
    "collections.defaultdict": rebuild_dict,
}
