"""Read what `torch.save` wrote, without trusting it: the zip format and the one before torch 1.6.

Numbers are read when they are asked for, and no more bytes than the file has.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from hf_rspin.hub.stored_tensors import BUILDERS, Storage, StoredTensor, read_storage_id
from hf_rspin.inert_pickle import MOST_BYTES, BoundedStream, CheckpointError, Inert, read_pickle

ZIP_START = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")
MOST_RECORDS = 100_000
# what a reader of damaged zip files may raise
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError, OSError,
)  # fmt: skip


class TorchFile:
    """An open checkpoint.

    Attributes:
        content: what was saved, in plain containers, `StoredTensor` and `Inert` objects.
        names: of all classes and functions that its pickle mentions.
        file_size: in bytes.
    """

    def __init__(self, file: BinaryIO):
        self.file_size = os.fstat(file.fileno()).st_size
        self.content: Any = None
        self.names: dict[str, None] = {}
        self._file = file
        self._storages: dict[str, Storage] = {}
        self._loaded: dict[str, bytearray] = {}

    def read(self, tensor: StoredTensor) -> Tensor:
        """Return the numbers of a tensor that is not empty; tensors on one storage share it.

        Raises:
            CheckpointError: the storage is missing, damaged or of another size than claimed.
        """
        storage = tensor.storage
        if storage.key not in self._loaded:
            self._loaded[storage.key] = bytearray(self._storage_bytes(storage))
        return tensor.view(self._loaded[storage.key])

    def _storage_bytes(self, storage: Storage) -> bytes:
        raise NotImplementedError

    def _pickle(self, stream: BoundedStream) -> Any:
        return read_pickle(stream, BUILDERS, self._persistent, self.names)

    def _persistent(self, persistent_id: Any) -> Storage | Inert:
        storage = read_storage_id(persistent_id)
        if isinstance(storage, Storage):
            first = self._storages.setdefault(storage.key, storage)
            if first != storage:
                raise CheckpointError(f"storage {storage.key!a} has two sizes.")
        return storage


class _ZipTorchFile(TorchFile):
    """A zip archive of `NAME/data.pkl` and `NAME/data/KEY`, nothing in it compressed."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        with _zip_errors():
            self._archive = zipfile.ZipFile(file)
            self._records = self._check_records(self._archive.infolist())
        pickles = [n for n in self._records if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                f"it is a zip archive with {len(pickles)} records data.pkl; expected the one of "
                "torch.save."
            )
        self._folder = pickles[0].removesuffix("data.pkl")
        self._check_byte_order()
        data = self._record("data.pkl", MOST_BYTES)
        self.content = self._pickle(BoundedStream(BytesIO(data), len(data)))

    def _check_records(self, records: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        """Refuse what torch never writes, and with it archives that unpack to more than they are.

        Raises:
            CheckpointError: too many records, two of one name, or one compressed or encrypted.
        """
        by_name = {record.filename: record for record in records}
        plain = all(
            record.compress_type == zipfile.ZIP_STORED
            and record.compress_size == record.file_size
            and not record.flag_bits & 1
            for record in records
        )
        total = sum(record.file_size for record in records)
        if len(by_name) != len(records) or len(records) > MOST_RECORDS or not plain:
            raise CheckpointError("it is a zip archive, but not one of torch.save.")
        if total > self.file_size:
            raise CheckpointError("its records claim more bytes than the file has.")
        return by_name

    def _check_byte_order(self) -> None:
        if self._folder + "byteorder" in self._records:
            _check_byte_order(self._record("byteorder", 16).decode("ascii", "replace"))

    def _record(self, name: str, most: int) -> bytes:
        """Return a record, whose checksum zipfile compares."""
        record = self._records.get(self._folder + name)
        if record is None:
            raise CheckpointError(f"its record {name!a} is missing.")
        if record.file_size > most:
            raise CheckpointError(f"its record {name!a} has {record.file_size} bytes.")
        with _zip_errors():
            return self._archive.read(record)

    def _storage_bytes(self, storage: Storage) -> bytes:
        data = self._record(f"data/{storage.key}", storage.size)
        if len(data) != storage.size:
            raise CheckpointError(
                f"storage {storage.key!a} has {len(data)} bytes; expected {storage.size}."
            )
        return data


class _LegacyTorchFile(TorchFile):
    """Five pickles (magic number, version, machine, content, keys), then the storages in a row."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        file.seek(0)
        magic, version, machine, self.content, keys = (self._next_pickle() for _ in range(5))
        if magic != LEGACY_MAGIC or type(version) is not int or type(machine) is not dict:
            raise CheckpointError("it begins like a file of torch.save, but does not go on so.")
        _check_byte_order("little" if machine.get("little_endian", True) else "big")
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise CheckpointError("it has no list of storages.")
        self._places = dict(map(self._next_storage, keys))

    def _next_pickle(self) -> Any:
        left = self.file_size - self._file.tell()
        return self._pickle(BoundedStream(self._file, min(left, MOST_BYTES)))

    def _next_storage(self, key: str) -> tuple[str, int]:
        """Step over a storage, its count of elements in front; return its key and where it is.

        Raises:
            CheckpointError: it is not the one that the content speaks of, or cut off.
        """
        storage = self._storages.get(key)
        count = int.from_bytes(self._file.read(8), "little", signed=True)
        start = self._file.tell()
        if storage is None or start + storage.size > self.file_size:
            raise CheckpointError(f"it is cut off, or damaged, at storage {key!a}.")
        if count != storage.count:
            raise CheckpointError(
                f"storage {key!a} has {count} elements; expected {storage.count}."
            )
        self._file.seek(start + storage.size)
        return key, start

    def _storage_bytes(self, storage: Storage) -> bytes:
        if storage.key not in self._places:
            raise CheckpointError(f"its storage {storage.key!a} is missing.")
        self._file.seek(self._places[storage.key])
        return self._file.read(storage.size)


@contextlib.contextmanager
def open_torch_file(path: str | Path) -> Iterator[TorchFile]:
    """Open what `torch.save` wrote; nothing in it is imported or run.

    Args:
        path: in the zip format, or in the one before torch 1.6.

    Raises:
        CheckpointError: it is neither, or damaged.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        start = file.read(512)
        if start.startswith(ZIP_START):
            yield _ZipTorchFile(file)
        elif start.startswith(LEGACY_START):
            yield _LegacyTorchFile(file)
        else:
            raise CheckpointError(f"it {_what_else(start)}; expected a file written by torch.save.")


def _what_else(start: bytes) -> str:
    """Say what a file is, by its first 512 bytes."""
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself (git lfs pull fetches that)"
    if start.lstrip()[:1] == b"<":
        return "is a web page"
    if start[257:262] == b"ustar":
        return "is a tar archive (torch before 2017: load and save it with a newer torch)"
    if start[8:10] == b'{"':
        return "is a safetensors file (from_pretrained loads those)"
    return "begins with none of the known signatures"


def _check_byte_order(written: str) -> None:
    if written != sys.byteorder:
        raise CheckpointError(f"it was written in {written!a}-endian byte order.")


@contextlib.contextmanager
def _zip_errors() -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except _ZIP_ERRORS as error:
        # an offset before the file is an invalid argument; anything else is the disk's
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"it is a zip archive that is cut off or damaged ({reason}); download it again."
        ) from error
