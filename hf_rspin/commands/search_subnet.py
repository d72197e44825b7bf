"""Find the best subnet of a supernet within a budget, by a probe on held-out training speakers.

    hf-rspin search-subnet runs/elastic_2 --corpus speech --max_parameters 5e6 \\
        --metric linear_phones --population 12 --generations 4 --output_dir runs/search

The supernet is a folder of `hf-rspin train --objective elastic --stage 2`. Every measured subnet
is a file in `subnets`: stopped at any moment, the same command goes on, and another budget measures
none again. `best.json` is the best one, `results.md` the table, `best` a plain encoder where one
can have its shape (always with `--exportable true`). `--subnet FILE` saves one without a search.
"""

from __future__ import annotations

import logging

from hf_rspin.elastic.search_arguments import SearchArguments
from hf_rspin.training.cli import exit_on_user_error, parse_arguments


def main(arguments: list[str] | None = None) -> None:
    """Search and print the table."""
    (parsed,) = parse_arguments(
        SearchArguments, arguments=arguments, intro=__doc__, words=["encoder"]
    )
    import torch

    from hf_rspin.elastic.search_run import run_search

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    torch.set_num_threads(1)  # the workers are the parallelism
    with exit_on_user_error():
        print(run_search(parsed))
