"""Options of the command `demo`: without torch, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_rspin.utils import option

NEEDS_GRADIO = "the page needs Gradio, which is not installed: pip install 'hf-rspin[demo]'."
PORTS = range(1024, 65536)


@dataclass
class DemoOptions:
    """Which models are compared, and where the page is."""

    model: str = option("bundled", "model A: folder, Hub id or bundled")
    other: str | None = option(
        None, "model B, such as runs/quickstart (default: the first R-Spin model below ./runs)"
    )
    clusters: int = option(100, "clusters of the k-means with which two models are compared")
    port: int = option(7860, "of the page")
    listen: bool = option(False, "let other computers open the page; default: this one alone")
    cache_dir: str = option("~/.cache/hf-rspin", "keeps the small k-means for the next start")
    device: str = option("auto", "cpu, cuda, or auto: cuda where there is one")

    def __post_init__(self) -> None:
        if self.port not in PORTS:
            raise ValueError(f"port is {self.port}; expected {PORTS[0]} to {PORTS[-1]}.")
        if not 2 <= self.clusters <= 2000:
            raise ValueError(f"clusters is {self.clusters}; expected 2 to 2000.")
