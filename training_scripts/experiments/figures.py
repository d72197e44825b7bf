"""Draw the figures of R-Spin of finished evaluations, training seeds averaged.

    python training_scripts/experiments/figures.py --results runs/evaluation/results.csv \\
        --names bundled=HuBERT rspin-seed0=R-Spin rspin-seed1=R-Spin --output_dir figures

figure_2.svg: phone error rate against the SNR (where there are several); figure_4.svg: similarity
of distorted and clean frames per layer; figure_5.svg: speaker accuracy per layer, clean speech;
figure_10.svg: what the phone probe reads of each layer. What was not measured is not drawn.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hf_rspin.evaluation.long_table import over_seeds
from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.plots import plot_layers, plot_snr
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.utils import atomic, option

LAYERED = {  # figure -> metric, its axis, clean speech alone, percent
    "figure_4": ("cka", "CKA with clean speech", False, False),
    "figure_5": ("speaker_accuracy", "speaker accuracy, %", True, True),
    "figure_10": ("layer_weight", "weight of the phone probe x norm", True, False),
}
PER = "phone_error_rate"


@dataclass
class FigureArguments:
    """Which evaluations, and how their encoders are called."""

    results: list[str] = option([], "results.csv of evaluations")
    names: list[str] = option(
        [], "encoder=name in the figures, in their order; equal names are seeds; default: all"
    )
    output_dir: str = option("runs/figures", "for the figures")


def read_results(files: list[str], names: list[str]) -> pd.DataFrame:
    """Return the long tables as one, encoders renamed, equal names as seeds that are averaged.

    Raises:
        ValueError: no file, none of the encoders, or a name without `=`.
    """
    if not files:
        raise ValueError("no results were given; pass --results with results.csv of evaluations.")
    called = {}
    for text in names:
        encoder, equals, name = text.partition("=")
        if not equals:
            raise ValueError(f"got --names {text!r}; expected encoder=name, as rspin-seed0=R-Spin.")
        called[encoder] = name
    table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    known = list(dict.fromkeys(table["encoder"]))
    if gone := [encoder for encoder in called if encoder not in known]:
        raise ValueError(f"{gone[0]} is in none of the results; they have {', '.join(known)}.")
    if called:
        table = table[table["encoder"].isin(called)]
        rows = table["encoder"].map(list(called).index)
        table = table.assign(encoder=table["encoder"].map(called), seed=rows)
        table = table.sort_values("seed", kind="stable")
    return over_seeds(table[table["reference"].isna()])


def layered(table: pd.DataFrame, figure: str) -> Figure | None:
    """Return a figure of values per layer; None where they were not measured."""
    metric, label, is_clean, is_percent = LAYERED[figure]
    part = table[(table["metric"] == metric) & table["layer"].notna()]
    part = part[part["condition"] == "clean"] if is_clean else part
    series: dict[str, dict[str, list[float]]] = {}
    for (encoder, condition), lines in part.groupby(["encoder", "condition"], sort=False):
        values = lines.sort_values("layer")["value"] * (100 if is_percent else 1)
        series.setdefault(encoder, {})[condition.replace("_", " ")] = values.tolist()
    return plot_layers(series, label) if series else None


def against_snr(table: pd.DataFrame) -> Figure | None:
    """Return phone error rates against the SNR; None where there is one SNR only."""
    part = table[(table["metric"] == PER) & table["snr_db"].notna()]
    panels: dict[str, dict[str, dict[float, Interval]]] = {}
    for _, line in part.iterrows():
        curves = panels.setdefault(line["condition"].replace("_", " "), {})
        found = (100 * line[name] for name in ("value", "low", "high"))
        curves.setdefault(line["encoder"], {})[line["snr_db"]] = Interval(*found)
    panels = {name: one for name, one in panels.items() if len(next(iter(one.values()))) > 1}
    return plot_snr(panels, "phone error rate, %") if panels else None


def main() -> None:
    """Draw what was measured."""
    (arguments,) = parse_arguments(FigureArguments)
    with exit_on_user_error():
        table = read_results(arguments.results, arguments.names)
    found = {"figure_2": against_snr(table), **{name: layered(table, name) for name in LAYERED}}
    folder = Path(arguments.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in found.items():
        if figure is not None:
            with atomic(folder / f"{name}.svg") as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None})
            text = (folder / f"{name}.svg").read_text(encoding="utf-8")
            (folder / f"{name}.svg").write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))
    drawn = [name for name, figure in found.items() if figure is not None]
    if not drawn:
        sys.exit("Nothing that the figures show is in these results.")
    print(f"{', '.join(drawn)} in {folder}")


if __name__ == "__main__":
    main()
