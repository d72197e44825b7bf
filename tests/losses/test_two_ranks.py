"""Two real gloo processes give what one process with both halves gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hf_rspin

CUTS = [3, 20, 0]  # frames of rank 0 of 23; the last leaves it none
SAMPLES = 3200


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the results of one process and of each of two, computed side by side."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.save(make_inputs(), folder / "inputs.pt")
    script = Path(__file__).with_name("two_ranks.py")
    root = Path(hf_rspin.__file__).parents[1]
    processes = []
    for name, rank, world_size in (("one", 0, 1), ("first", 0, 2), ("second", 1, 2)):
        arguments = [rank, world_size, folder / "rendezvous", folder / "inputs.pt", folder / name]
        processes.append(
            subprocess.Popen(
                [sys.executable, str(script), *map(str, arguments)],
                env={**os.environ, "PYTHONPATH": str(root)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
    return [torch.load(folder / name, weights_only=True) for name in ("one", "first", "second")]


def make_inputs():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    codebook = torch.nn.functional.normalize(draw(6, 8), dim=1)
    clean = draw(23, 8)
    waves = 0.1 * draw(3, SAMPLES)
    mask = torch.ones(3, SAMPLES, dtype=torch.long)
    mask[1, 2000:] = 0
    labels = torch.randint(0, 5, (3, 9), generator=generator)
    labels[2, :4] = -100
    batch = {"input_values": waves, "attention_mask": mask, "labels": labels}
    perturbed = waves + 0.1 * draw(3, SAMPLES)
    batch |= {"perturbed_input_values": perturbed, "perturbed_attention_mask": mask}
    config = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "projection_size": 8,
        "codebook_size": 6,
        "num_pseudo_labels": 5,
        "auxiliary_codebook_size": 9,
        "variance_weight": 0.5,
        "invariance_weight": 2.0,
        "covariance_weight": 3.0,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "feat_proj_dropout": 0.0,
    }
    names = {"clean": clean, "perturbed": clean + 0.3 * draw(23, 8), "codebook": codebook}
    names |= {"pairs": draw(6, 7, 4), "others": draw(6, 9, 4)}
    return {**names, "cuts": CUTS, "batch": batch, "config": config}


@pytest.mark.parametrize("case", range(len(CUTS)))
def test_spin_loss_of_unequal_shares(runs, case):
    one, first, second = (run["losses"][case] for run in runs)
    for name in ("loss", "accuracy", "code_perplexity", "probability_perplexity", "num_frames"):
        torch.testing.assert_close(first[name], one[name])
        torch.testing.assert_close(second[name], one[name])
    torch.testing.assert_close(first["codebook"], one["codebook"])
    for name in ("clean", "perturbed"):
        torch.testing.assert_close(torch.cat([first[name], second[name]]), one[name])


@pytest.mark.parametrize("case", range(len(CUTS)))
def test_statistics_of_unequal_shares(runs, case):
    one, first, second = (run["statistics"][case] for run in runs)
    assert all(loss > 0 for loss in one["losses"])
    for rank in (first, second):
        torch.testing.assert_close(rank["losses"], one["losses"])
    for view in range(2):
        both = torch.cat([first["gradients"][view], second["gradients"][view]])
        torch.testing.assert_close(both, one["gradients"][view])


def test_model_under_ddp(runs):
    one, first, second = (run["model"] for run in runs)
    assert one["figures"]["num_frames"] == 9 + 6 + 9
    assert first["gradients"].keys() == one["gradients"].keys()
    for rank in (first, second):
        for name, value in one["figures"].items():
            torch.testing.assert_close(rank["figures"][name], value, msg=name)
        for name, gradient in one["gradients"].items():
            torch.testing.assert_close(rank["gradients"][name], gradient, msg=name)


def test_laser_loss_of_one_and_five_pairs(runs):
    one, first, second = (run["laser"] for run in runs)
    for rank in (first, second):
        torch.testing.assert_close(rank["loss"], one["loss"])
    for view in range(2):
        both = torch.cat([first["gradients"][view], second["gradients"][view]])
        torch.testing.assert_close(both, one["gradients"][view])


def test_every_rank_has_a_coin_of_its_own(runs):
    one, first, second = (run["coins"] for run in runs)
    assert first[:-1] != second[:-1] and 4 < sum(second[:-1]) < 16
    assert first[-1] == second[-1]  # and their generators stay alike
