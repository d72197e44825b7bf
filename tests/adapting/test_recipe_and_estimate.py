"""The recipe fits encoder and hours; the estimate is what was measured, scaled."""

from dataclasses import replace

import pytest
from transformers import HubertConfig, HubertModel

from hf_rspin.adapting.calibration import Rates
from hf_rspin.adapting.estimate import Amounts, estimate, training_seconds, within
from hf_rspin.adapting.options import AdaptOptions
from hf_rspin.adapting.recipe import Recipe, recipe_for
from hf_rspin.adapting.wording import measured_on, own_recordings
from hf_rspin.adapting.words import duration, size

RATES = Rates(
    batch_seconds=24, encode=0.01, fit=1e-5, assign=2e-5, train=0.5, views=0.2, measure=0.1,
    flac_bytes=10_000, memory=dict.fromkeys(("cut", "labels", "train", "measure"), 10**9),
    gpu_memory={}, heard=5, layers=13, dim=768,
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder that says it is HuBERT base; its weights are not read here."""
    folder = tmp_path_factory.mktemp("base")
    HubertConfig(architectures=["HubertModel"]).save_pretrained(folder)
    return str(folder)


def test_the_small_recipe_is_that_of_the_configs(encoder):
    recipe = recipe_for(AdaptOptions("x", encoder=str(encoder)), telephone=True)
    assert recipe.files == ("rspin_small.yaml", "rspin_small_telephone.yaml")
    assert (recipe.layer, recipe.num_layers) == (3, 3)
    assert (recipe.num_clusters, recipe.vocab_size, recipe.standardize) == (500, 1000, True)
    assert (recipe.update_seconds, recipe.max_steps, recipe.warmup) == (24, 400, None)
    model = HubertModel.from_pretrained(encoder)
    assert recipe.parameters == sum(p.numel() for p in model.parameters())
    with pytest.raises(ValueError, match="--layer is 4; this encoder has layers 0 to 3"):
        recipe_for(AdaptOptions("x", encoder=str(encoder), layer=4), telephone=False)


def test_base_encoders_get_the_constants_of_the_paper(base):
    recipe = recipe_for(AdaptOptions("x", encoder=base), telephone=False)
    assert recipe.files == ("rspin_hubert_base_32_ap40k.yaml",)
    assert 90e6 < recipe.parameters < 100e6 and recipe.layer == 9
    full = recipe.fitted(960 * 3600, AdaptOptions("x"))
    assert (full.max_steps, full.update_seconds, full.vocab_size) == (10_000, 384, 40_000)
    little = recipe.fitted(3600, AdaptOptions("x"))
    assert little.max_steps == 120 and little.vocab_size == 180_000 // 150
    assert recipe.fitted(1200, AdaptOptions("x")).update_seconds == pytest.approx(200)
    asked = recipe.fitted(3600, AdaptOptions("x", max_steps=7, num_clusters=9, vocab_size=11))
    assert (asked.max_steps, asked.num_clusters, asked.vocab_size) == (7, 9, 11)
    seconds = recipe.fitted(100, AdaptOptions("x"))
    assert seconds.update_seconds == 24 and seconds.num_clusters == 5000 // 30
    assert seconds.vocab_size > seconds.num_clusters


def test_a_recipe_survives_a_file(base):
    recipe = recipe_for(AdaptOptions("x", encoder=base), telephone=False)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Rates.from_json(RATES.to_json()) == RATES


def test_time_and_space_follow_what_was_measured(base):
    recipe = recipe_for(AdaptOptions("x", encoder=base), telephone=False)
    recipe = recipe.fitted(90 * 3600, AdaptOptions("x"))
    amounts = Amounts(read=100 * 3600, speech=90 * 3600, read_rate=0.01, longest=12)
    steps = {step.name: step for step in estimate(amounts, recipe, RATES)}
    assert steps["cut"].seconds == 3600 and steps["cut"].disk == 90 * 3600 * 10_000
    clustered, train = 36_000, 90 * 3600 - 600
    expected = clustered * (0.01 + 50e-5) + train * (0.01 + 100e-5)
    assert steps["labels"].seconds == pytest.approx(expected)
    assert steps["train"].seconds == recipe.max_steps * 384 * 0.5
    assert steps["train"].disk == 7 * 4 * recipe.parameters
    assert steps["measure"].seconds == pytest.approx(2 * 0.1 * (2400 + 5 * 600))
    assert all(step.memory >= 10**9 and step.gpu_memory is None for step in steps.values())
    with_workers = training_seconds(recipe, RATES, workers=4)
    assert with_workers == pytest.approx(recipe.max_steps * 384 * 0.3)
    assert steps["cut"].what == "100.0 h of recordings -> about 90.0 h not silent"
    both = estimate(replace(amounts, in_channels=200 * 3600), recipe, RATES)[0]
    assert both.what == "100.0 h of recordings, 200.0 h in all channels, -> about 90.0 h not silent"
    slow_views = replace(RATES, train=2.0, views=1.9)
    assert training_seconds(recipe, slow_views, 2) == pytest.approx(recipe.max_steps * 384 * 0.95)


def test_a_budget_of_hours_leaves_fewer_updates(base):
    recipe = recipe_for(AdaptOptions("x", encoder=base), telephone=False)
    recipe = recipe.fitted(36_000, AdaptOptions("x"))
    amounts = Amounts(read=36_000, speech=36_000, read_rate=0.001, longest=12)
    shorter = within(4.0, amounts, recipe, RATES, 0)
    assert 20 <= shorter.max_steps < recipe.max_steps
    total = sum(step.seconds for step in estimate(amounts, shorter, RATES))
    assert 4 * 3600 - 200 < total <= 4 * 3600
    assert within(1e6, amounts, recipe, RATES, 0) == recipe
    with pytest.raises(ValueError, match="--wall_hours 0.5 leaves 0 updates of 192.0 s"):
        within(0.5, amounts, recipe, RATES, 0)


def test_words():
    assert [duration(s) for s in (0.1, 89, 150, 1200, 36_000)] == [
        "1 s", "89 s", "2.5 min", "20 min", "10.0 h"
    ]  # fmt: skip
    assert [size(b) for b in (10, 5e8, 2.5e9)] == ["1 MB", "500 MB", "2.5 GB"]


def test_little_speech_is_called_so_first():
    assert measured_on([2.5, 3.0, 2.5, 3.0], "parts") == (
        "Too little to tell: measured on 4 parts, 11 s of held-out speech."
    )
    assert measured_on([6.0] * 9, "parts").startswith("Too little to tell")
    assert measured_on([6.0] * 30, "parts") == "Measured on 30 parts, 3.0 min of held-out speech."
    assert own_recordings(False, False).remarks == ()
    shared, made_up = own_recordings(True, True).remarks
    assert "also trained on" in shared and "--noise FOLDER measures in yours" in made_up
