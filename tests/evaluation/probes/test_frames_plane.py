import json

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from hf_rspin.evaluation import Evaluation, EvaluationSet, GaussianNoise, to_table
from hf_rspin.evaluation.probes.frames_plane import FramesPlane
from hf_rspin.evaluation.report import evaluation_report
from hf_rspin.evaluation.results import write_results

from .spoken_corpus import ToneFeatures, spoken_corpus


def run(probe, test, folder, conditions=(), factor=1):
    evaluation = Evaluation(folder, test, list(conditions), [probe], progress=False)
    evaluation.run(ToneFeatures(factor))
    return evaluation


def neighbours_agree(points, labels):
    """Return how often the nearest point has the same label."""
    nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)[1][:, 1]
    return (np.array(labels)[nearest] == np.array(labels)).mean()


@pytest.mark.parametrize("factor", [1, 2])
def test_frames_lie_by_what_the_layer_knows(factor, tmp_path):
    test, agree = spoken_corpus(16), {}
    for layer in (0, 1):
        probe = FramesPlane(layer=layer, max_frames=100)
        (cell,) = run(probe, test, tmp_path / str(layer), factor=factor).cells()
        assert cell.rows == [] and cell.details["layer"] == layer
        points, names = np.array(cell.details["points"]), cell.details["names"]
        assert points.shape == (100, 2) and sorted(names) == ["ann", "bob", "cem", "dee"]
        assert np.bincount(cell.details["colors"]).tolist() == [25] * 4
        assert set(cell.details["phones"]) == {"AA", "B", "CH", "D"}  # no silence
        agree[layer] = [neighbours_agree(points, cell.details[c]) for c in ("phones", "colors")]
    assert agree[0][0] > 0.8 > 0.6 > agree[0][1]
    assert agree[1][1] > 0.8 > 0.6 > agree[1][0]


def test_distorted_frames_lie_beside_the_same_clean_ones(tmp_path):
    evaluation = run(
        FramesPlane(layer=0, max_frames=80), spoken_corpus(8), tmp_path, [GaussianNoise(-5.0)]
    )
    clean, noisy = evaluation.cells()
    assert noisy.details["names"] == ["clean", "gaussian"]
    assert noisy.details["colors"] == [0] * 40 + [1] * 40
    assert noisy.details["phones"] == 2 * clean.details["phones"][::2]
    assert neighbours_agree(np.array(noisy.details["points"]), noisy.details["colors"]) > 0.9
    assert len(json.dumps(noisy.details)) < 5000
    first, second = FramesPlane.draw([clean, noisy, noisy])
    legend = [text.get_text() for text in second.figure.legends[0].get_texts()]
    assert legend == ["clean", "gaussian, -5 dB"]
    assert second.title == "Frames of tones, layer 0, gaussian, -5 dB"
    drawn = np.concatenate([line.get_xydata() for line in first.figure.axes[0].get_lines()])
    assert len(drawn) == 80
    assert {text.get_text() for text in first.figure.axes[0].texts} == {"AA", "B", "CH", "D"}


def test_a_cell_without_numbers_passes_through_tables_and_reports(tmp_path):
    evaluation = run(FramesPlane(max_frames=40), spoken_corpus(8), tmp_path)
    cells = evaluation.cells()
    assert len(to_table(cells)) == 0
    report = evaluation_report(to_table(cells), "t", "s", cells=cells, about={"corpus": "x"})
    assert "<h1" in report.to_html()
    write_results(cells, tmp_path / "results")
    assert (tmp_path / "results" / "report.html").is_file()
    before = sorted(tmp_path.glob("cells/*"))
    run(FramesPlane(max_frames=40), spoken_corpus(8), tmp_path)  # measured already
    assert sorted(tmp_path.glob("cells/*")) == before and len(before) == 1


def test_nothing_is_needed_but_speech(tmp_path):
    test = spoken_corpus(4)
    bare = EvaluationSet(test.ids, test.audio)
    probe = FramesPlane(max_frames=40, num_speakers=2)
    assert probe.reason_to_skip(bare, None) is None and probe.remark(test) is None
    assert "no phone alignments, so" in probe.remark(bare) and "no speaker" in probe.remark(bare)
    (cell,) = run(probe, bare, tmp_path).cells()
    assert cell.details["names"] == ["frames"] and cell.details["phones"] is None
    assert len(cell.details["points"]) == 40
    (drawing,) = FramesPlane.draw([cell])
    assert "silence" not in drawing.caption
    names = ["ann", None, None, None]
    alone = EvaluationSet(test.ids, test.audio, names, alignments=test.alignments)
    (cell,) = run(probe, alone, tmp_path / "alone").cells()
    assert cell.details["names"] == ["ann"]


def test_speakers_with_enough_frames_come_first(tmp_path):
    test = spoken_corpus(8)
    some = test.select([0, 1, 2, 3, 6])  # cem speaks twice
    for seed in range(3):
        probe = FramesPlane(max_frames=60, num_speakers=1, seed=seed)
        (cell,) = run(probe, some, tmp_path / str(seed)).cells()
        assert cell.details["names"] == ["cem"] and len(cell.details["points"]) == 60


def test_of_few_layers_the_nearest_is_drawn_and_a_collapse_is_a_point(tmp_path):
    class Collapsed(ToneFeatures):
        def __call__(self, waveform):
            return 0 * super().__call__(waveform) + 1

    for layer, drawn in ((9, 2), (-9, 0), (-1, 2)):
        probe = FramesPlane(layer=layer, max_frames=40)
        folder = tmp_path / str(layer)
        evaluation = Evaluation(folder, spoken_corpus(4), [], [probe], progress=False)
        evaluation.run(Collapsed())
        (cell,) = evaluation.cells()
        assert cell.details["layer"] == drawn
        assert np.ptp(cell.details["points"]) == 0


def test_wrong_settings_and_too_little_speech_are_refused(tmp_path):
    with pytest.raises(ValueError, match="got num_speakers 0; expected 1 or more"):
        FramesPlane(num_speakers=0)
    with pytest.raises(ValueError, match="got max_frames 5; expected 20 or more"):
        FramesPlane(max_frames=5)
    test = spoken_corpus(2)
    silent = EvaluationSet(test.ids, test.audio, alignments=["0.0:SIL 0.1:AA 0.14:SIL", "0.0:SIL"])
    evaluation = run(FramesPlane(), silent, tmp_path)
    assert "got 2 frames of speech for t-SNE; expected 10 or more" in evaluation.left_out[-1]
    assert not evaluation.cells()
