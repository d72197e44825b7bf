"""The code that travels with a saved model, for `trust_remote_code=True` without this package.

transformers finds the imports of such code by a regular expression, in one flat folder. So every
module of ours that a model's module needs is copied there under a flat name, and each
`from hf_rspin.losses.spin import ...` becomes `from .losses_spin import ...`.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from hf_rspin.utils import write_text

PACKAGE = "hf_rspin"
MARK = "# From the package hf_rspin, copied when this model was saved.\n"


def code_reference(model_class: type) -> str:
    """Return how `auto_map` names a class of this package, such as "modeling_spin.RSpinModel"."""
    return f"{_flat(model_class.__module__)}.{model_class.__name__}"


def save_code(
    model_class: type, folder: str | Path, encoder_class: type | None = None
) -> list[str]:
    """Write the module of a class and all modules of ours that it needs; return their names.

    Files that an earlier saving left there and nothing needs any more are removed.

    Args:
        model_class: a class of this package.
        folder: of the saved model.
        encoder_class: of the encoder inside, where that is one of ours.
    """
    texts: dict[str, str] = {}
    waiting = [model_class.__module__]
    waiting += [encoder_class.__module__] if encoder_class else []
    while waiting:
        module = waiting.pop()
        if f"{_flat(module)}.py" in texts:
            continue
        texts[f"{_flat(module)}.py"], needed = _flattened(module)
        waiting += needed
    if encoder_class not in (None, model_class):  # nothing else there imports it
        config, module = encoder_class.config_class.__name__, _flat(encoder_class.__module__)
        # AutoModel wants to see the class of the config that it loaded
        texts[f"{_flat(model_class.__module__)}.py"] += (
            f"\n\nfrom .{module} import {config}  # noqa: E402\n\n"
            f"{model_class.__name__}.config_class = {config}\n"
        )
    for path in Path(folder).glob("*.py"):
        if path.name not in texts and path.read_text(encoding="utf-8").startswith(MARK):
            path.unlink()
    for name, text in texts.items():
        write_text(Path(folder) / name, MARK + text)
    return sorted(texts)


def _flattened(module: str) -> tuple[str, list[str]]:
    """Return the source of a module with flat imports, and the modules of ours that it imports.

    An import inside of `try` is left out: such a module can do without.

    Raises:
        ImportError: it imports a package of ours as a whole, which has no flat form.
    """
    source = Path(_origin(module)).read_text(encoding="utf-8")
    lines, needed = source.splitlines(keepends=True), []
    for node in _imports(ast.parse(source)):
        name = node.module or ""
        if name.split(".")[0] != PACKAGE:
            continue
        if Path(_origin(name)).name == "__init__.py":
            raise ImportError(f"{module} imports from {name}; expected a module of that package.")
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line.replace(f"from {name} ", f"from .{_flat(name)} ", 1)
        needed.append(name)
    return "".join(lines), needed


def _imports(node: ast.AST) -> list[ast.ImportFrom]:
    if isinstance(node, ast.Try):
        return []
    found = [node] if isinstance(node, ast.ImportFrom) else []
    return found + [one for child in ast.iter_child_nodes(node) for one in _imports(child)]


def _origin(module: str) -> str:
    return importlib.util.find_spec(module).origin


def _flat(module: str) -> str:
    """Return the flat name of a module: those of models keep theirs."""
    return module.removeprefix(f"{PACKAGE}.").removeprefix("models.").replace(".", "_")
