"""What an evaluation itself cost, per encoder, from the `cost` of its cells."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.table import NOTHING, Section

_CAPTION = (
    "Of this evaluation: encoding, training of probes and all probes together. Memory is the peak "
    "of the whole process so far, which an encoder that came before may have set. GFLOPs are those "
    "of one second of speech through the encoder, without probes."
)
HEADERS = [
    "encoder", "wall time, s", "peak memory, GB", "GFLOPs per s of speech", "encoded speech, h",
    "energy, Wh", "device",
]  # fmt: skip


def cost_section(cells: Sequence[Cell]) -> Section | None:
    """Return a row per encoder; None where no cell knows its cost.

    All probes of a condition share what it cost, which is counted once.

    Args:
        cells: of `Evaluation.cells`.
    """
    found: dict[str, dict[str, dict]] = {}
    for cell in cells:
        if cell.about.get("cost"):
            cost = cell.about["cost"]
            found.setdefault(cell.encoder, {})[json.dumps(cost, sort_keys=True)] = cost
    rows = [_row(name, list(costs.values())) for name, costs in found.items()]
    return Section("Cost of this evaluation", HEADERS, rows, _CAPTION) if rows else None


def _row(encoder: str, costs: Sequence[dict]) -> list[str]:
    def known(name: str) -> list[float]:
        return [cost[name] for cost in costs if cost.get(name) is not None]

    memory = [*known("peak_memory_bytes"), *known("peak_gpu_memory_bytes")]
    flops, joules = known("forward_gflops_per_second_of_speech"), known("energy_joules")
    methods = sorted({str(cost.get("energy_method", "none")) for cost in costs})
    energy = f"{sum(joules) / 3600:.2f} ({', '.join(methods)})"
    return [
        encoder,
        f"{sum(known('wall_seconds')):,.0f}",
        f"{max(memory) / 1e9:.2f}" if memory else NOTHING,
        f"{max(flops):.2f}" if flops else NOTHING,
        f"{sum(known('processed_hours')):.2f}",
        energy if len(joules) == len(costs) else "not measured",
        ", ".join(sorted({str(cost.get("device", NOTHING)) for cost in costs})),
    ]
