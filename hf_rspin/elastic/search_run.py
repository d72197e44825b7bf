"""Search a supernet from the arguments of a command line; every measured subnet is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm.auto import tqdm

from hf_rspin.device import check_device
from hf_rspin.elastic.extract import load_supernet
from hf_rspin.elastic.measure import Score, SubnetMeter
from hf_rspin.elastic.search import Evolution, check_budget, evolve
from hf_rspin.elastic.search_arguments import SearchArguments
from hf_rspin.elastic.search_results import Supernet, describe, save_plain, write_results
from hf_rspin.elastic.space import SubnetSpace
from hf_rspin.elastic.subnet import Subnet
from hf_rspin.evaluation.arguments import EvaluationScriptArguments
from hf_rspin.evaluation.run import read_dev
from hf_rspin.training.provenance import check_provenance, weights_key
from hf_rspin.utils import read_json, write_json

CACHE = "subnets"


def run_search(arguments: SearchArguments) -> str:
    """Search or extract, write the results, and return what was found as text.

    Raises:
        ValueError: something given is wrong, in one sentence.
    """
    arguments.check()
    arguments.device = check_device(arguments.device)
    space = None if arguments.space is None else SubnetSpace.load(arguments.space)
    encoder, space, normalize = load_supernet(arguments.encoder, space)
    supernet = Supernet(
        encoder.to(arguments.device), space, normalize, arguments.flops_seconds, arguments.encoder
    )
    folder = Path(arguments.output_dir)
    if arguments.subnet is not None:
        subnet = read_subnet(arguments.subnet, space)
        save_plain(supernet, subnet, folder)
        return f"{describe(supernet, subnet)} saved in {folder}"
    return _search(arguments, supernet, folder)


def _search(arguments: SearchArguments, supernet: Supernet, folder: Path) -> str:
    fits, space = _budget(arguments, supernet), supernet.space
    check_budget(space, fits, arguments.exportable)  # before minutes of reading
    _evolution(arguments)
    _check_layer(arguments.layer, space)
    meter = _meter(arguments, supernet)
    evolution = _evolution(arguments, meter.metric.better == "higher")
    weights = weights_key(supernet.encoder, "masked_spec_embed")
    made_from = {"weights": weights, "space": space.to_dict(), **meter.settings()}
    check_provenance(folder, made_from, (CACHE,))
    cached = _Cache(folder / CACHE, supernet, meter)
    total = evolution.population * evolution.generations
    with tqdm(total=total, desc="measuring subnets", unit="subnet") as bar:

        def measure(subnet: Subnet) -> float:
            value = cached(subnet).value
            bar.update()
            return value

        found = evolve(space, measure, fits, evolution)
    ranked = evolution.rank(found)
    references = [space.largest, space.smallest] if arguments.references else []
    scores = {subnet: cached(subnet) for subnet in [*ranked, *references]}
    return write_results(supernet, meter.metric, folder, ranked, scores)


def read_subnet(given: str, space: SubnetSpace) -> Subnet:
    """Return the subnet of a JSON text or file, or "largest" or "smallest" of a space.

    Raises:
        ValueError: none of these, or outside of the space.
    """
    if given in ("largest", "smallest"):
        return getattr(space, given)
    try:
        content = json.loads(given) if given.lstrip().startswith("{") else read_json(given)
    except json.JSONDecodeError as error:
        raise ValueError(f"--subnet is no JSON ({error}).") from error
    if content is None:
        raise ValueError(
            f"{given} holds no subnet; expected a JSON file with width, depth, heads and ratios, "
            "largest, or smallest."
        )
    subnet = Subnet.from_dict(content.get("subnet", content))
    space.check(subnet)
    return subnet


def _check_layer(layer: int | None, space: SubnetSpace) -> None:
    """Refuse a hidden state that the shallowest subnet has not."""
    least = min(space.depths)
    if layer is not None and not -least - 1 <= layer <= least:
        raise ValueError(
            f"layer is {layer}, but the shallowest subnet has {least} layers; expected a hidden "
            f"state of 0 to {least}, or from the last one {-least - 1} to -1."
        )


class _Cache:
    """Measures a subnet once, and keeps its score in a file of its own."""

    def __init__(self, folder: Path, supernet: Supernet, meter: SubnetMeter):
        self.folder, self.supernet, self.meter = folder, supernet, meter

    def __call__(self, subnet: Subnet) -> Score:
        text = json.dumps(subnet.to_dict(), sort_keys=True)
        file = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        known = read_json(file)
        if known is not None:
            return Score(**known["score"])
        score = self.meter(subnet)
        parameters, flops = self.supernet.cost(subnet)
        write_json(file, {
            "subnet": subnet.to_dict(), "metric": self.meter.metric.name, "score": asdict(score),
            "parameters": parameters, "flops_per_second": flops,
        })  # fmt: skip
        return score


def _budget(arguments: SearchArguments, supernet: Supernet) -> Callable[[Subnet], bool]:
    most = [arguments.max_parameters, arguments.max_flops]

    def fits(subnet: Subnet) -> bool:
        costs = supernet.cost(subnet)
        return all(m is None or cost <= m for m, cost in zip(most, costs, strict=True))

    return fits


def _evolution(arguments: SearchArguments, higher: bool = True) -> Evolution:
    return Evolution(
        arguments.population, arguments.generations, arguments.seed, arguments.exportable, higher
    )


def _meter(arguments: SearchArguments, supernet: Supernet) -> SubnetMeter:
    """Read the held-out speakers and the others, and return what measures on them."""
    test, train = read_dev(EvaluationScriptArguments(
        corpus=arguments.corpus, train_split=arguments.train_split,
        train_utterances=arguments.train_utterances, test_utterances=arguments.test_utterances,
        segment_seconds=arguments.segment_seconds,
    ))  # fmt: skip
    train.keep_waveforms = True  # every subnet reads them again
    return SubnetMeter(
        supernet.encoder, arguments.metric, test, train, arguments.probe_settings,
        arguments.layer, arguments.seed, supernet.normalize, arguments.bf16,
        arguments.num_workers,
    )  # fmt: skip
