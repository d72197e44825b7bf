import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.long_table import METRICS, to_table
from hf_rspin.evaluation.measures.bootstrap import Interval
from hf_rspin.evaluation.plots import (
    plain,
    plot_intervals,
    plot_layers,
    plot_phone_given_unit,
    plot_plane,
    plot_snr,
    plot_training,
)
from hf_rspin.evaluation.probes import Row, layer_rows
from hf_rspin.evaluation.report import Report, draw, evaluation_report
from hf_rspin.evaluation.table import sections


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_layer_curves_share_a_colour_per_condition_and_a_style_per_encoder():
    series = {"before": {"noise": [1, 2], "rooms": [3, 4]}, "after": {"noise": [5, 6, 7]}}
    figure = plot_layers(series, "CKA", "title")
    lines = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[1, 2], [3, 4], [5, 6, 7]]
    assert lines[0].get_color() == lines[2].get_color() != lines[1].get_color()
    assert lines[0].get_linestyle() == lines[1].get_linestyle() != lines[2].get_linestyle()
    assert legend_texts(figure) == ["noise", "rooms", "before", "after"]
    alone = plot_layers({"before": {"clean": [1, 2]}, "after": {"clean": [2, 3]}}, "accuracy")
    assert legend_texts(alone) == ["before", "after"]
    first, second = alone.axes[0].get_lines()
    assert first.get_color() != second.get_color()
    with pytest.raises(ValueError, match="no curve"):
        plot_layers({"before": {}}, "CKA", "title")


def test_what_has_one_layer_is_a_level_to_compare_with():
    figure = plot_layers({"deep": {"clean": [1, 2, 3]}, "mfcc": {"clean": [2.5]}}, "accuracy")
    curve, level = figure.axes[0].get_lines()
    assert len(curve.get_xdata()) == 3
    assert level.get_ydata() == [2.5, 2.5] and level.get_xdata() == [0, 1]  # of the whole width


def test_weights_of_layers_say_nothing_of_a_single_layer():
    cells = [cell("deep", "pr", "clean", layer_rows("layer_weight", [0.25, 0.75])),
             cell("mfcc", "pr", "clean", layer_rows("layer_weight", [1.0]))]  # fmt: skip
    metric = next(one for one in METRICS if one.name == "layer_weight")
    (figure,) = draw(to_table(cells), metric)
    assert [line.get_ydata().tolist() for line in figure.axes[0].get_lines()] == [[0.25, 0.75]]


def test_panels_of_one_quantity_share_their_axis():
    conditions = {f"c{i}": [i, i + 1] for i in range(9)}
    axes = plot_layers({"a": conditions, "b": {"c0": [40]}}, "%").axes
    assert len(axes) == 9 and len({one.get_ylim() for one in axes}) == 1
    assert axes[0].get_ylim()[1] > 40 and axes[0].get_ylim()[0] < 0
    curves = {"n": {"a": {0.0: Interval(1, 1, 1)}}, "m": {"a": {0.0: Interval(9, 9, 9)}}}
    assert len({one.get_ylim() for one in plot_snr(curves, "%").axes}) == 1


def test_values_stand_in_the_row_of_their_condition_with_their_interval():
    rates = {
        "a": {"clean": Interval(20, 10, 40), "rooms": Interval(50, 40, 60)},
        "b": {"rooms": Interval(30, np.nan, np.nan)},
    }
    axes = plot_intervals(rates, "%", "title").axes[0]
    points = [(x, round(y)) for c in axes.containers for x, y in c[0].get_xydata().tolist()]
    assert points == [(20, 0), (50, 1), (30, 1)]
    segments = axes.containers[0][2][0].get_segments()
    np.testing.assert_allclose(segments[0][:, 0], [10, 40])
    with pytest.raises(ValueError, match="no value"):
        plot_intervals({"a": {}}, "%")


def test_an_error_rate_falls_with_the_ratio_a_panel_per_condition():
    curve = {20.0: Interval(10, 9, 11), -5.0: Interval(50, 48, 52)}
    figure = plot_snr({"noise": {"a": curve, "b": curve}, "babble": {"b": curve}}, "%")
    first, second = figure.axes
    assert [line.get_xydata().tolist() for line in first.get_lines()] == [[[-5, 50], [20, 10]]] * 2
    assert first.get_lines()[1].get_color() == second.get_lines()[0].get_color()
    assert second.get_xlabel() == "SNR, dB"
    with pytest.raises(ValueError, match="no panel"):
        plot_snr({}, "%")


def test_a_plane_is_a_path_through_layers():
    figure = plot_plane({"a": [(1, 2), (3, 4), (5, 6)], "b": [(0, 0)]}, "x", "y")
    assert figure.axes[0].get_lines()[0].get_xydata().tolist() == [[1, 2], [3, 4], [5, 6]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "2", "0"]
    with pytest.raises(ValueError, match="no point"):
        plot_plane({"a": []}, "x", "y")


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


def cell(encoder, probe, condition, rows, **details):
    return Cell(encoder, probe, condition, None, {"settings": {}}, rows, details)


def test_the_report_draws_what_was_measured():
    rate = [Row("phone_error_rate", 0.5, None, 0.4, 0.6)]
    cells = [
        cell("log-mel", "phones", "clean", rate, errors=[5], lengths=[10]),
        cell("log-mel", "speakers", "clean", layer_rows("speaker_accuracy", [0.5])),
    ]
    page = Links(evaluation_report(to_table(cells), "t", "summary").to_html())
    assert (page.tags.count("figure"), page.tags.count("table")) == (1, 2)  # one layer: no curve
    cells += [
        cell("encoder", "cka", "rooms", layer_rows("cka_debiased", [1, 0.5])),
        cell("encoder", "cka", "rooms", layer_rows("cka", [1, 0.6])),  # in a table only
        cell("encoder", "speakers", "clean", layer_rows("speaker_accuracy", [0.9, 0.8])),
    ]
    history = [{"step": 1, "spin_loss": 2.0}]
    report = evaluation_report(to_table(cells), "t", "summary", ["Units: left out."], history)
    page = Links(report.to_html())
    assert (page.tags.count("figure"), page.tags.count("table")) == (4, 4)
    assert "<li>Units: left out.</li>" in report.to_html()


HOSTILE = ["<script>alert(1)</script>", "$\\undefined$", "_hidden", "a|b\nc", "\x1b[31m\x00"]


def test_names_are_text_in_figures_tables_and_pages():
    cells = []
    for name in HOSTILE:
        rows = layer_rows("cka_debiased", [0.25, 0.5])
        rate = [Row("phone_error_rate", 0.5, None, 0.4, 0.6)]
        cells += [
            cell(name, "cka", name, rows), cell(name, "phones", name, rate, errors=[1], lengths=[2])
        ]
    table = to_table(cells)
    text = evaluation_report(table, HOSTILE[0], HOSTILE[1], [HOSTILE[0]]).to_html()
    page = Links(text)
    assert "script" not in page.tags and "&lt;script&gt;" in text and "$\\undefined$" in text
    drawn = [base64.b64decode(link.split(",")[1]).decode() for link in page.found]
    assert len(drawn) == 2
    for svg in drawn:
        assert "&lt;script&gt;" in svg and "<script" not in svg and "$\\undefined$" in svg
        assert "_hidden" in svg and "\x1b" not in svg and "\x00" not in svg
    markdown = [line for s in sections(table) for line in s.to_markdown().split("\n")]
    assert not any("<script" in line for line in markdown)
    assert sum(line.startswith("| a\\|b c ") for line in markdown) == 2
    assert len(plain("x" * 100)) == 40


def test_a_caption_may_hold_quotes():
    report = Report("title")
    report.add_figure(plot_layers({"a": {"b": [1, 2]}}, "y", "t"), 'says "how" <b>')
    page = Links(report.to_html())
    assert page.tags.count("img") == 1 and "b" not in page.tags
