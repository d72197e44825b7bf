"""The table of contents: every name is there, and a wrong one is said to be wrong."""

import subprocess
import sys

import pytest

import hf_rspin


@pytest.mark.parametrize("name", hf_rspin.__all__)
def test_every_public_name_exists_in_its_room(name):
    found = getattr(hf_rspin, name)
    assert found.__module__.startswith("hf_rspin.") and found.__doc__


def test_a_wrong_name_is_an_error_that_lists_the_right_ones():
    with pytest.raises(AttributeError, match="RSpinHubertModel"):
        _ = hf_rspin.RSpinModell


def test_a_name_of_version_0_1_0_still_works_and_says_the_new_one():
    with pytest.warns(DeprecationWarning, match="CardFacts is now called ModelCardInfo"):
        assert hf_rspin.CardFacts is hf_rspin.ModelCardInfo


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, hf_rspin; print('torch' in sys.modules or 'datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
