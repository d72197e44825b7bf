import json

import numpy as np

from hf_rspin.evaluation import Evaluation, EvaluationSet, GaussianNoise, UnitProbe

from .spoken_corpus import ToneFeatures, spoken_corpus


def run(test, folder, conditions=()):
    evaluation = Evaluation(folder, test, conditions, [UnitProbe(num_units=8)], progress=False)
    evaluation.run(ToneFeatures())
    return evaluation.cells()


def test_details_count_phones_of_units_in_the_layer_that_knows_phones(tmp_path):
    test = spoken_corpus(24)
    clean, noisy = run(test, tmp_path, [GaussianNoise(0.0)])
    assert noisy.details == {}
    details = json.loads(json.dumps(clean.details))
    assert details["layer"] == 0 and details["phones"] == ["AA", "B", "CH", "D"]
    counts = np.array(details["counts"])
    named = [phone for row in test.phones_of_frames() for phone in row]
    assert counts.sum(1).tolist() == [named.count(phone) for phone in details["phones"]]
    assert sum(details["occurrences"]) == len(named)
    assert counts.max(0).sum() / counts.sum() > 0.9  # each unit has its phone
    heat, use = UnitProbe.draw([noisy, clean, clean])
    image = heat.figure.axes[0].get_images()[0].get_array()
    np.testing.assert_allclose(image.sum(axis=0), 1)
    drawn = use.figure.axes[0].get_lines()[0].get_ydata()
    assert drawn.tolist() == sorted((n for n in details["occurrences"] if n), reverse=True)


def test_without_alignments_the_use_of_units_is_drawn(tmp_path):
    test = spoken_corpus(24)
    (cell,) = run(EvaluationSet(test.ids, test.audio), tmp_path)
    assert set(cell.details) == {"layer", "occurrences"} and cell.details["layer"] == 2
    assert len(UnitProbe.draw([cell])) == 1


def test_cells_of_earlier_versions_have_no_details(tmp_path):
    (cell,) = run(spoken_corpus(24), tmp_path)
    cell.details.clear()
    assert UnitProbe.draw([cell]) == []
