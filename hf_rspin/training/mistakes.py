"""Mistakes that a user can mend end a script with one sentence; anything else keeps its traceback.

While a script reads its corpus, its model and its settings, values and files that are wrong are
the user's. Later only audio and the checks before the first step are: a `ValueError` in the middle
of training is a defect of the program, and its traceback is wanted.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator

from datasets.exceptions import DatasetsError
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from hf_rspin.adapters.gradients import AdapterGradientError
from hf_rspin.audio import AudioError
from hf_rspin.data.checks import PreflightError

logger = logging.getLogger(__name__)

WHILE_BUILDING = (ValueError, OSError, StrictDataclassError, DatasetsError, SafetensorError)
# a worker of a DataLoader hands on its traceback as text, the message of the error last
FROM_A_WORKER = re.compile(r"Caught \w+ in DataLoader worker .*\n[\w.]+: (.+)", re.DOTALL)
WHILE_RUNNING = (AudioError, PreflightError, AdapterGradientError)


@contextlib.contextmanager
def mistakes_explained(kinds: tuple[type[Exception], ...] = WHILE_BUILDING) -> Iterator[None]:
    """End the process with one sentence on stderr and code 1 where an error is of `kinds`.

    The traceback is logged at level DEBUG.

    Raises:
        SystemExit: an error of `kinds` was raised inside.
    """
    try:
        yield
    except kinds as error:
        logger.debug("The mistake was found here:", exc_info=True)
        sys.exit(explain(error))


def explain(error: Exception) -> str:
    """Return the message of an error on one line; a list of reasons keeps its lines."""
    if isinstance(error, PreflightError):
        return str(error)
    if isinstance(error, StrictDataclassError) and error.__cause__ is not None:
        error = error.__cause__  # the value refused, without the name of the validator
    text = str(error)
    if isinstance(error, SafetensorError):
        text = f"a file of weights is damaged ({text}): download or copy the model again."
    if found := FROM_A_WORKER.fullmatch(text):
        text = found.group(1)
    return " ".join(text.split()) or type(error).__name__
