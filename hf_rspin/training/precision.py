"""bfloat16 where it is faster, unless the command line says otherwise.

Configs and defaults ask for bfloat16 because it is faster. A processor without instructions for
it computes the same 9 (the bundled encoder) to 18 times (base size) slower than in float32.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields

OPTIONS = ("bf16", "teacher_bf16")
_TRUE = ("true", "1", "yes", "y", "t")  # as HfArgumentParser reads them


def without_slow_bfloat16(
    classes: Sequence[type], file_values: Mapping[str, object], typed: Sequence[str]
) -> list[str]:
    """Return options that turn bfloat16 off where this machine would emulate it.

    They belong behind those of config files and before what was typed, which is done as it says:
    `--bf16 true` stays true, with a warning on stderr.

    Args:
        classes: dataclasses of options.
        file_values: what config files say.
        typed: the options of the command line.

    Example:
        >>> without_slow_bfloat16([], {"bf16": True}, [])
        []
    """
    defaults = {one.name: one.default for kind in classes for one in fields(kind)}
    known = [name for name in OPTIONS if name in defaults]
    said = {name: _value_of(name, typed) for name in known}
    wanted = [name for name in known if _is_true(said[name], file_values, defaults, name)]
    device = _device(file_values, typed) if wanted else ""
    if not wanted or _is_fast(device):
        return []
    place = "processor" if device == "cpu" else "GPU"
    has_half = device.startswith("cuda") and "fp16" in defaults
    if kept := [name for name in wanted if said[name] is not None]:
        sys.stderr.write(
            f"--{kept[0]} true: this {place} has no instructions for bfloat16 and is slower with "
            "it than in float32 (processors about ten times).\n"
        )
    changed = [name for name in wanted if said[name] is None]
    if changed:
        names = " and ".join(changed)
        half = " --fp16 true is its own half precision." if has_half else ""
        sys.stderr.write(
            f"{names} false: this {place} has no instructions for bfloat16 and is faster in "
            f"float32; --{changed[0]} true asks for it all the same.{half}\n"
        )
    return [f"--{name}=false" for name in changed]


def _value_of(name: str, typed: Sequence[str]) -> str | None:
    """Return what the command line says of an option, "true" where it stands alone."""
    found = None
    for index, text in enumerate(typed):
        if text.partition("=")[0].replace("-", "_") == f"__{name}":
            following = typed[index + 1] if index + 1 < len(typed) else "--"
            alone = "true" if following.startswith("--") else following
            found = text.partition("=")[2] or alone
        elif text.replace("-", "_") == f"__no_{name}":
            found = "false"
    return found


def _is_true(
    said: str | None, file_values: Mapping[str, object], defaults: Mapping[str, object], name: str
) -> bool:
    """Say whether an option would be true: typed, in a file, or by default, in this order."""
    value = said if said is not None else file_values.get(name, defaults[name])
    return str(value).lower() in _TRUE


def _device(file_values: Mapping[str, object], typed: Sequence[str]) -> str:
    """Return the device that the run is told to use, or would take."""
    import torch  # takes a second: not for --help

    use_cpu = _value_of("use_cpu", typed) or str(file_values.get("use_cpu", False))
    if use_cpu.lower() in _TRUE:
        return "cpu"
    device = _value_of("device", typed) or str(file_values.get("device", "auto"))
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _is_fast(device: str) -> bool:
    """Say whether a device is fast with bfloat16; one that is not there is refused later."""
    import torch

    from hf_rspin.device import has_fast_bfloat16

    if device.startswith("cuda") and not torch.cuda.is_available():
        return True
    return has_fast_bfloat16(device)
