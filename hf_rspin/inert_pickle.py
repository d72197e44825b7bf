"""Read a pickle without running anything in it: classes and functions stay names.

A pickle is a program for a small stack machine. `pickle.Unpickler`, however restricted, runs it
with real classes, `__setstate__` and attribute access; here the opcodes, which `pickletools` takes
apart, only ever build numbers, strings, lists, tuples, dicts and the two inert classes below.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST_OPCODES = 5_000_000  # a checkpoint of 24 layers with its optimiser has about 50,000
MOST_BYTES = 1 << 26
MOST_COPIED = 2_000_000  # items that calls may copy out of containers, such as OrderedDict(list)

Builder = Callable[[tuple], Any]

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PLAIN_ARGUMENTS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 "
    "BYTEARRAY8".split()
)


class CheckpointError(ValueError):
    """A checkpoint that is damaged, incomplete, or none that is known."""


@dataclass(eq=False, slots=True, repr=False)
class Global:
    """A class or function that a pickle names, `module.attribute`; never imported."""

    name: str


@dataclass(eq=False, slots=True, repr=False)
class Inert:
    """An object of a class that is not known: the name of its class, and the state it was given."""

    name: str
    state: Any = None


class BoundedStream:
    """A part of a file that reads like a file, and never allocates more than there is.

    Args:
        file: open for reading, at the start of the part.
        size: bytes that may be read.
    """

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.left = file, size

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end."""
        data = self.file.read(max(0, min(size, self.left)))
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        """Return the bytes to the next newline, with it."""
        data = self.file.readline(self.left)
        self.left -= len(data)
        return data


def read_pickle(
    stream: BoundedStream,
    builders: Mapping[str, Builder],
    persistent: Builder,
    found: dict,
    inline: Callable[[Inert], Any] | None = None,
) -> Any:
    """Return what a pickle describes, in plain Python containers.

    Args:
        stream: starts with the pickle, and is left behind its last opcode.
        builders: by `module.attribute`, what makes an object of a call's arguments; calls of
            anything else make an `Inert`.
        persistent: the same for persistent ids.
        found: collects the names of all classes and functions that the pickle mentions, as keys.
        inline: gets each object once it has its state, and returns what stands in its place; it
            may read from `stream` what lies there between two opcodes, as joblib has arrays.

    Raises:
        CheckpointError: it is damaged, too long, or uses opcodes that no checkpoint needs.
    """
    machine = _Machine(builders, persistent, found)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MOST_OPCODES:
                raise CheckpointError(f"its pickle has more than {MOST_OPCODES} opcodes.")
            machine.step(opcode.name, argument)
            if opcode.name == "BUILD" and inline and isinstance(machine.stack[-1], Inert):
                machine.stack[-1] = inline(machine.stack[-1])
        return machine.stack.pop()
    except CheckpointError:
        raise
    # what pickletools and an empty stack raise: nothing of the file runs in here
    except (ValueError, IndexError, KeyError) as error:
        raise CheckpointError(f"its pickle is damaged ({type(error).__name__}).") from error


def is_simple_key(key: Any) -> bool:
    """Say whether a dict may have this key: hashing others can be slow or overflow the stack."""
    return type(key) is str or (type(key) is int and key.bit_length() <= 32)


class _Machine:
    """The stack machine; one method per group of opcodes."""

    def __init__(self, builders: Mapping[str, Builder], persistent: Builder, found: dict):
        self.builders, self.persistent, self.found = builders, persistent, found
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def step(self, name: str, argument: Any) -> None:
        if name in _PLAIN_ARGUMENTS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise CheckpointError(f"its pickle uses {name}, which no checkpoint needs.")

    # The stack and the memo

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def put(self, index: int) -> None:
        if not is_simple_key(index):
            raise IndexError
        self.memo[index] = self.stack[-1]

    def pop_mark(self, _: Any) -> None:
        self.since_mark()

    # Containers: what is no list or dict takes items without keeping them

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is dict:
            self.stack[-1].update(_pairs(items))

    def frozen_set(self, _: Any) -> None:
        self.since_mark()
        self.stack.append(Inert("frozenset"))

    def push_tuple(self, size: int) -> None:
        items = tuple(self.stack[len(self.stack) - size :])
        if len(items) != size:
            raise IndexError
        del self.stack[len(self.stack) - size :]
        self.stack.append(items)

    # Classes, calls and objects

    def push_global(self, name: str) -> None:
        self.found[name] = None
        self.stack.append(Global(name))

    def stack_global(self, _: Any) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        self.push_global(f"{module}.{attribute}" if type(module) is type(attribute) is str else "?")

    def call(self, function: Any, arguments: Any) -> None:
        name = function.name if isinstance(function, Global) else "?"
        if name in self.builders and type(arguments) is tuple:
            # one list may be handed to thousands of calls, each of which would copy it
            self.copied += sum(len(a) for a in arguments if type(a) in (list, dict, tuple))
            if self.copied > MOST_COPIED:
                raise CheckpointError(
                    f"its pickle copies more than {MOST_COPIED} items; no checkpoint does."
                )
            self.stack.append(self.builders[name](arguments))
        else:
            self.stack.append(Inert(name))

    def reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    def new_object_with_keywords(self, _: Any) -> None:
        _, arguments, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    def instance(self, name: str) -> None:
        self.since_mark()
        self.push_global(name)
        self.call(self.stack.pop(), None)

    def object(self, _: Any) -> None:
        function = self.since_mark()[0]
        self.call(function, None)

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].state = state


def _pairs(items: list[Any]) -> dict:
    """Return the dict of alternating keys and values, without keys that are not simple."""
    pairs = zip(items[::2], items[1::2], strict=True)
    return {key: value for key, value in pairs if is_simple_key(key)}


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, _: None),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, i: m.stack.append(m.memo[i])),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_SET": lambda m, _: m.stack.append(Inert("set")),
    "LIST": lambda m, _: m.stack.append(m.since_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push_tuple(1),
    "TUPLE2": lambda m, _: m.push_tuple(2),
    "TUPLE3": lambda m, _: m.push_tuple(3),
    "DICT": lambda m, _: m.stack.append(_pairs(m.since_mark())),
    "FROZENSET": _Machine.frozen_set,
    "APPEND": lambda m, _: m.append([m.stack.pop()]),
    "APPENDS": lambda m, _: m.append(m.since_mark()),
    "ADDITEMS": lambda m, _: m.append(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "GLOBAL": lambda m, name: m.push_global(".".join(name.rsplit(" ", 1))),
    "STACK_GLOBAL": _Machine.stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.reduce),
    "NEWOBJ_EX": _Machine.new_object_with_keywords,
    "INST": lambda m, name: m.instance(".".join(name.rsplit(" ", 1))),
    "OBJ": _Machine.object,
    "BUILD": _Machine.build,
    "PERSID": lambda m, key: m.stack.append(m.persistent((key,))),
    "BINPERSID": lambda m, _: m.stack.append(m.persistent(m.stack.pop())),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda m, _: m.stack.append(Inert("?"))),
}
