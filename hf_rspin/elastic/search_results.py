"""What a search leaves: the best subnet, the table of all, a plain encoder where there can be."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import HubertModel

from hf_rspin.elastic.cost import subnet_flops, subnet_parameters
from hf_rspin.elastic.extract import obstacle, save_subnet
from hf_rspin.elastic.measure import Score
from hf_rspin.elastic.space import SubnetSpace
from hf_rspin.elastic.subnet import Subnet
from hf_rspin.evaluation.probes import Metric
from hf_rspin.evaluation.table import markdown_table
from hf_rspin.publishing import save_companions
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.training.run_card import portable
from hf_rspin.utils import write_json, write_text
from hf_rspin.whole_folders import whole_folder

BEST = "best"


@dataclass(frozen=True)
class Supernet:
    """What is searched.

    Args:
        encoder: the full one.
        space: of its subnets.
        normalize: whether it reads normalised waveforms.
        seconds: length of utterance that operations are counted for.
        name: folder or Hub id.
    """

    encoder: HubertModel
    space: SubnetSpace
    normalize: bool
    seconds: float
    name: str = ""

    def cost(self, subnet: Subnet) -> tuple[int, float]:
        """Return parameters, and operations per second of audio."""
        config = self.encoder.config
        return subnet_parameters(config, subnet), subnet_flops(config, subnet, self.seconds)


def describe(supernet: Supernet, subnet: Subnet) -> str:
    """Return a subnet and what it costs, in words."""
    parameters, flops = supernet.cost(subnet)
    return (
        f"width {subnet.width}, {subnet.depth} layers, {parameters / 1e6:.2f}M parameters, "
        f"{flops / 1e9:.2f} GFLOP per second of audio"
    )


def save_plain(supernet: Supernet, subnet: Subnet, folder: Path) -> None:
    """Save a subnet as the folder of a plain encoder, whole or not at all.

    Raises:
        ValueError: it is none; see `obstacle`.
    """
    found = obstacle(subnet, supernet.space.head_size)
    if found is not None:
        raise ValueError(f"the subnet cannot be saved as a plain encoder: {found}")
    with whole_folder(folder, "config.json", "encoder") as written:
        small = save_subnet(supernet.encoder, subnet, written, supernet.normalize)
        origin = f"the front of the weights of the elastic encoder {portable(supernet.name)}"
        save_companions(written, small.config, None, ModelCardInfo(started_from=origin))


def write_results(
    supernet: Supernet, metric: Metric, folder: Path, ranked: list[Subnet],
    scores: dict[Subnet, Score],
) -> str:  # fmt: skip
    """Write best.json, results.md and, where it can be, the best subnet as an encoder."""
    best = ranked[0]
    parameters, flops = supernet.cost(best)
    reason = obstacle(best, supernet.space.head_size)
    if reason is None:
        save_plain(supernet, best, folder / BEST)
        last = f"The best ({describe(supernet, best)}) is saved in {folder / BEST}."
    else:
        last = f"The best ({describe(supernet, best)}) cannot be saved as a plain encoder: {reason}"
        if (folder / BEST / "config.json").is_file():  # of another search
            shutil.rmtree(folder / BEST)
    write_json(folder / "best.json", {
        "subnet": best.to_dict(), "metric": metric.name, "score": asdict(scores[best]),
        "parameters": parameters, "flops_per_second": flops, "measured": len(ranked),
    }, indent=2)  # fmt: skip
    headers = ["", metric.label, "95 %", "layer", "width", "layers", "heads", "ratios",
               "parameters, M", f"GFLOP/s at {supernet.seconds:g} s", "plain"]  # fmt: skip
    names = {supernet.space.largest: "largest", supernet.space.smallest: "smallest"}
    places = {subnet: str(place) for place, subnet in enumerate(ranked, 1)}
    rows = [
        [places.get(subnet, names.get(subnet, "")), *_cells(supernet, metric, subnet, score)]
        for subnet, score in scores.items()
    ]  # fmt: skip
    text = f"{markdown_table(headers, rows)}\n\n{last}"
    write_text(folder / "results.md", f"{text}\n")
    return text


def _cells(supernet: Supernet, metric: Metric, subnet: Subnet, score: Score) -> list[str]:
    parameters, flops = supernet.cost(subnet)
    interval = ""
    if score.low is not None and score.high is not None:
        interval = f"{metric.text(score.low)} to {metric.text(score.high)}"
    plain = obstacle(subnet, supernet.space.head_size) is None
    return [
        metric.text(score.value), interval, "" if score.layer is None else str(score.layer),
        str(subnet.width), str(subnet.depth), " ".join(map(str, subnet.heads)),
        " ".join(f"{ratio:g}" for ratio in subnet.ratios), f"{parameters / 1e6:.2f}",
        f"{flops / 1e9:.2f}", "yes" if plain else "no",
    ]  # fmt: skip
