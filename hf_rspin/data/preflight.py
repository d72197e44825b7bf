"""The former place of `hf_rspin.data.checks`."""

from hf_rspin.data.checks import PreflightError as PreflightError
from hf_rspin.data.checks import check_batches as check_batches
from hf_rspin.data.checks import check_examples as check_examples
from hf_rspin.data.checks import check_labels as check_labels
from hf_rspin.data.checks import raise_problems as raise_problems
