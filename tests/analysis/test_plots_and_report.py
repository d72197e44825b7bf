import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hf_rspin.analysis.comparison_report import comparison_report
from hf_rspin.analysis.plots import (
    plot_error_rates,
    plot_layers,
    plot_phone_given_unit,
    plot_training,
)
from hf_rspin.analysis.report import Report
from hf_rspin.analysis.results import ConditionResult, ResultsFile
from hf_rspin.evaluation.bootstrap import Interval


def legend_texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_layer_curves_share_a_colour_per_condition_and_a_style_per_encoder():
    series = {"before": {"noise": [1, 2], "rooms": [3, 4]}, "after": {"noise": [5, 6, 7]}}
    axes = plot_layers(series, "CKA", "title", (0, 8)).axes[0]
    lines = axes.get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[1, 2], [3, 4], [5, 6, 7]]
    assert lines[0].get_color() == lines[2].get_color() != lines[1].get_color()
    assert lines[0].get_linestyle() == lines[1].get_linestyle() != lines[2].get_linestyle()
    assert legend_texts(axes) == ["noise", "rooms", "before", "after"]
    with pytest.raises(ValueError, match="no curve"):
        plot_layers({"before": {}}, "CKA", "title")


def test_bars_stand_in_their_condition_with_their_interval():
    rates = {
        "a": {"clean": Interval(0.2, 0.1, 0.4), "rooms": Interval(0.5, 0.4, 0.6)},
        "b": {"rooms": Interval(0.3, 0.2, 0.4)},
    }
    axes = plot_error_rates(rates, "title").axes[0]
    bars = [(round(b.get_x() + b.get_width() / 2), b.get_height()) for b in axes.patches]
    assert bars == [(0, 20), (1, 50), (1, 30)]
    segments = axes.collections[0].get_segments()
    np.testing.assert_allclose(segments[0][:, 1], [10, 40])
    with pytest.raises(ValueError, match="no rate"):
        plot_error_rates({"a": {}}, "title")


def test_training_panels_hold_what_was_logged():
    history = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0, "accuracy": 0.5}, {"step": 20}]
    figure = plot_training(history, {"loss": ["loss", "other"], "x": ["y"], "share": ["accuracy"]},
                           "title")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "share"]
    assert figure.axes[0].get_lines()[0].get_xydata().tolist() == [[10, 3], [20, 2]]
    with pytest.raises(ValueError, match="was logged"):
        plot_training(history, {"x": ["y"]}, "title")


def test_heat_map_sorts_used_units_by_phone():
    probabilities = np.array([[0.1, 0.0, 0.9, 0.6], [0.9, 0.0, 0.1, 0.4]])
    image = plot_phone_given_unit(probabilities, ["AA", "B"], "title").axes[0].get_images()[0]
    np.testing.assert_allclose(image.get_array(), [[0.9, 0.6, 0.1], [0.1, 0.4, 0.9]])


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_a_report_escapes_text_and_loads_nothing(tmp_path):
    report = Report("A <title> & more", "First.\n\nSecond <script>.")
    report.add_table(["name", "x"], [["<b>", 1]], "caption")
    report.add_figure(plot_layers({"a": {"b": [1, 2]}}, "y", "t"), 'says "how"')
    text = report.write(tmp_path / "sub" / "report.html").read_text()
    page = Links(text)
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.found)
    assert not {"script", "link", "b"} & set(page.tags)
    assert "Second &lt;script&gt;." in text and "&lt;b&gt;" in text
    svg = base64.b64decode(page.found[0].split(",")[1]).decode()
    assert "<svg" in svg and not re.search(r'href="http', svg)
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["report.html"]
    with pytest.raises(ValueError, match="expected 2"):
        report.add_table(["a", "b"], [["x"]])


def test_the_same_report_has_the_same_bytes():
    def make():
        report = Report("title")
        report.add_figure(plot_layers({"a": {"b": [1, 2]}}, "y", "t"), "caption")
        return report.to_html()

    assert make() == make()


def test_comparison_report_draws_what_was_measured(tmp_path):
    results = ResultsFile(tmp_path / "results.json", {})
    results.start_encoder("log-mel", "1")
    results.start_encoder("encoder", "2")
    results.add("log-mel", "clean", ConditionResult(1, 1, [5], [10], speaker_accuracy=[0.5]))
    assert Links(comparison_report(results, "t").to_html()).tags.count("figure") == 1
    results.add(
        "encoder", "rooms",
        ConditionResult(1, 1, [5], [10], cka_debiased=[1, 0.5], speaker_accuracy=[0.9, 0.8]),
    )
    page = Links(comparison_report(results, "t").to_html())
    assert (page.tags.count("figure"), page.tags.count("table")) == (3, 4)
