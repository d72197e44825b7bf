"""Error rates of all tasks in one table, as Table 1 of R-Spin."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hf_rspin.evaluation.long_table import METRICS, over_seeds, with_labels
from hf_rspin.evaluation.table import NOTHING, Section

TASKS = {"phone_error_rate": "PER", "word_error_rate": "WER"}
HOURS = "processed speech, hours"


def overview(table: pd.DataFrame, hours: Mapping[str, float] | None = None) -> Section | None:
    """Return a row per encoder and a column per task and condition; None without error rates.

    The least number of a column is marked with `*`: no claim that the difference is real, which
    the paired differences tell.

    Args:
        table: of `to_table`.
        hours: of speech that each encoder was adapted with, where that is known.
    """
    part = with_labels(over_seeds(table[table["metric"].isin(TASKS)]))
    if part.empty:
        return None
    part = part.assign(column=part["metric"].map(TASKS) + " " + part["label"])
    columns = [
        column for task in TASKS for column in dict.fromkeys(part[part["metric"] == task]["column"])
    ]
    texts = {metric.name: metric.text for metric in METRICS}
    best = part.groupby("column")["value"].min()
    several = part["encoder"].nunique() > 1
    rows = []
    for encoder, lines in part.groupby("encoder", sort=False):
        cells = {}
        for _, line in lines.iterrows():
            mark = " *" if several and line["value"] == best[line["column"]] else ""
            cells[line["column"]] = texts[line["metric"]](line["value"]) + mark
        known = f"{hours[encoder]:,.4g}" if hours and encoder in hours else NOTHING
        rows.append([encoder, known, *(cells.get(column, NOTHING) for column in columns)])
    title = "Error rates of all tasks, % (lower is better" + (", * least)" if several else ")")
    return Section(title, ["encoder", HOURS, *columns], rows)
