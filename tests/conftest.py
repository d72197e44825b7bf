"""Set what must be set before torch, numba or a Hugging Face library is imported.

The tests run offline, on few threads (their inputs are tiny: threads cost more than they give), and
leave nothing behind: the caches of the Hugging Face libraries go to a folder that is removed.
"""

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

_cache = tempfile.mkdtemp(prefix="hf-rspin-tests-")
atexit.register(shutil.rmtree, _cache, ignore_errors=True)

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HOME=_cache,
    HF_DATASETS_CACHE=os.path.join(_cache, "datasets"),
    MPLBACKEND="Agg",
    TOKENIZERS_PARALLELISM="false",
)
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

SCRIPTS = Path(__file__).parents[1] / "training_scripts"


@pytest.fixture
def main(monkeypatch):
    """Call the `main` of a script in this process, which is quicker than in one of its own."""

    def call(script, *arguments):
        spec = importlib.util.spec_from_file_location(script, SCRIPTS / f"{script}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, script, module)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        monkeypatch.syspath_prepend(str(SCRIPTS))
        spec.loader.exec_module(module)
        module.main()

    return call


@pytest.fixture(scope="session")
def microphone(tmp_path_factory):
    """What the browser hears: an utterance of the sample at 48 kHz in stereo, again and again."""
    import numpy as np
    import soundfile
    import soxr

    from hf_rspin.demo.recordings import sample_utterances

    speech, rate = soundfile.read(next(iter(sample_utterances().values())))
    file = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(file, np.repeat(soxr.resample(speech, rate, 48_000)[:, None], 2, 1), 48_000)
    return file


@pytest.fixture(scope="session")
def browser(tmp_path_factory, microphone):
    """Headless Chromium; where there is none, the test says so, and fails where it is required."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        message = "Chromium and chromedriver are not installed (Debian: chromium chromium-driver)"
        (pytest.fail if os.environ.get("HF_RSPIN_BROWSER") == "required" else pytest.skip)(message)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
                 "disable-background-networking", "disable-component-update", "disable-sync",
                 "use-fake-ui-for-media-stream", "use-fake-device-for-media-stream",
                 f"use-file-for-fake-audio-capture={microphone}",
                 f"user-data-dir={tmp_path_factory.mktemp('profile')}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=programs[1])
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()
