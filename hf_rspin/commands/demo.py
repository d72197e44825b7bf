"""Open a page in the browser to try models in: record or drop a file, distort it, see its units.

    hf-rspin demo                            # the bundled encoder
    hf-rspin demo --other runs/quickstart    # beside it, what quickstart made of it
    hf-rspin demo --model microsoft/wavlm-base --other runs/rspin --port 8000

It shows a spectrogram with the units and their times, plays the recording and its distorted view
(noise, room, codec or telephone, another voice), and tells how many units change, in one model or
in two beside each other. The page runs on this computer alone and makes no request to another;
`--listen` lets others on the network open it. Needs Gradio: pip install 'hf-rspin[demo]'.
"""

from __future__ import annotations

import logging
import threading
from functools import partial

from hf_rspin.demo.options import DemoOptions
from hf_rspin.training.cli import exit_on_user_error, parse_arguments


def main(arguments: list[str] | None = None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: the command line; None: `sys.argv[1:]`.
    """
    (options,) = parse_arguments(DemoOptions, arguments=arguments, intro=__doc__)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("hf_rspin").setLevel(logging.INFO)
    with exit_on_user_error():
        run(options)


def run(options: DemoOptions) -> None:
    """Load what is needed at the start, and serve.

    Raises:
        ValueError: Gradio is missing, a model is not there, or the port is taken.
    """
    from hf_rspin.demo.server import check_gradio, serve

    check_gradio()
    import torch

    from hf_rspin.demo.models import CLUSTERS, find_models, locate
    from hf_rspin.demo.page import build_page
    from hf_rspin.demo.work import Workshop
    from hf_rspin.device import check_device
    from hf_rspin.training.run_card import describe_hardware

    device = check_device(options.device)
    places = find_models(options.model, options.other)
    model = locate(options.model).name
    other = locate(options.other).name if options.other else first_run(list(places), model)
    workshop = Workshop(places, options.clusters, options.cache_dir, device)
    for name in (model, other):
        if name:
            workshop.listener(name, CLUSTERS)
    page = partial(build_page, workshop, model, other)
    with serve(page, options.port, options.listen) as address:
        names = model if other is None else f"{model} and {other}"
        where = describe_hardware(torch.device(device), 1)
        print(f"{names} on {where}.\nOpen {address} (Ctrl-C ends it).", flush=True)
        if options.listen:
            print(
                "Other computers on the network can open it too, without a password; their "
                "browsers give it no microphone, which needs https.",
                flush=True,
            )
        threading.Event().wait()


def first_run(names: list[str], model: str) -> str | None:
    """Return the first model below ./runs to stand beside A, or None."""
    return next((name for name in names if name not in (model, "bundled")), None)
