"""The report as a person sees it: in a browser, on a telephone and on a desk."""

import numpy as np
import pytest

from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.long_table import to_table
from hf_rspin.evaluation.probes import Row, layer_rows
from hf_rspin.evaluation.report import evaluation_report

TELEPHONE, DESK = 390, 1280
SMALLEST_TEXT = 11  # pixels


def show(browser, file, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(file.as_uri())
    return browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )


def cells():
    """Seven encoders with long names under many conditions: the widest that a table gets."""
    rng, found = np.random.default_rng(0), []
    names = ["bundled", *(f"an-encoder-with-a-rather-long-name-{i}" for i in range(6))]
    for name in names:
        for condition in ("clean", "gaussian", "noise_unseen", "reverb", "packet_loss"):
            for ratio in (0.0, 10.0) if condition in ("gaussian", "noise_unseen") else (None,):
                errors = rng.integers(2, 8, 20)
                rate = errors.mean() / 10
                rows = [Row("phone_error_rate", rate, None, rate - 0.05, rate + 0.05)]
                details = {"errors": errors.tolist(), "lengths": [10] * 20}
                found.append(Cell(name, "pr", condition, ratio, {"settings": {"seed": 0}}, rows,
                                  details, {"corpus": "made up", "num_test": 20,
                                            "date": "2026-01-01"}))  # fmt: skip
                layers = [Row("phone_accuracy", x, i) for i, x in enumerate(rng.random(13))]
                layers += layer_rows("cka_debiased", rng.random(13))
                key = {"settings": {}}
                found.append(Cell(name, "linear_phones", condition, ratio, key, layers))
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    made = cells()
    page = evaluation_report(
        to_table(made), "Encoders", "A summary.", ["Left out."], about=made[0].about, cells=made
    )
    return page.write(tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("width", [TELEPHONE, DESK])
def test_nothing_overflows_and_nothing_is_complained_about(browser, report, width):
    content, window = show(browser, report, width)
    assert content <= window == width
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    shown = browser.execute_script(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])"
    )
    assert shown and all(complete and natural > 0 for complete, natural, _ in shown)
    assert all(drawn <= width for *_, drawn in shown)


def test_letters_of_figures_can_be_read_on_a_telephone(browser, report):
    show(browser, report, TELEPHONE)
    sizes = browser.execute_script(
        """return [...document.images].map(image => {
            const svg = atob(image.src.split(",")[1]);
            const page = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
            const scale = image.clientWidth / page.viewBox.baseVal.width;
            document.body.appendChild(page);
            const found = [...page.querySelectorAll("text, tspan")].map(
                text => parseFloat(getComputedStyle(text).fontSize) * scale);
            page.remove();
            return Math.min(...found);
        })"""
    )
    assert sizes and min(sizes) >= SMALLEST_TEXT


def test_a_wide_table_says_that_it_goes_on(browser, report):
    show(browser, report, TELEPHONE)
    found = browser.execute_script(
        """return [...document.querySelectorAll(".wide")].map(box => [
            box.scrollWidth > box.clientWidth,
            getComputedStyle(box.previousElementSibling).display])"""
    )
    assert any(wide for wide, _ in found)
    assert all(cue == "block" for wide, cue in found if wide)
    show(browser, report, DESK)
    cues = browser.execute_script(
        """return [...document.querySelectorAll(".cue")].map(c => getComputedStyle(c).display)"""
    )
    assert set(cues) == {"none"}


def test_the_browser_would_have_seen_an_overflow_and_an_error(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<div style='width:900px'>x</div><script>undefined_name()</script>")
    content, window = show(browser, page, TELEPHONE)
    assert content > window or window > TELEPHONE
    assert any("undefined_name" in entry["message"] for entry in browser.get_log("browser"))
