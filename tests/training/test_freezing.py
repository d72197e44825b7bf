import pytest

from hf_rspin.training import freeze_lower_layers


def test_top_layers_and_heads_train(tiny):
    model = tiny.tiny_model()
    assert freeze_lower_layers(model, 1) == 2
    trained = {name.rsplit(".", 1)[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("layers.2" in name or "head" in name for name in trained)
    assert any("layers.2" in name for name in trained)
    assert any("spin_head" in name for name in trained)


def test_none_trains_everything_again(tiny):
    model = tiny.tiny_model()
    before = {name for name, p in model.named_parameters() if p.requires_grad}
    freeze_lower_layers(model, 0)
    freeze_lower_layers(model, None)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == before


@pytest.mark.parametrize("count", [-1, 4])
def test_impossible_numbers_are_refused(tiny, count):
    with pytest.raises(ValueError, match="expected 0 to 3, the layers of this encoder"):
        freeze_lower_layers(tiny.tiny_model(), count)


@pytest.mark.parametrize("active", [False, True])
def test_dropout_of_the_frozen_part_is_an_argument(tiny, audio, tmp_path, active):
    from hf_rspin.training import TwoViewTrainer

    model = tiny.tiny_model(hidden_dropout=0.5)
    args = tiny.tiny_arguments(
        tmp_path, max_steps=1, save_strategy="no", num_trainable_layers=1, frozen_dropout=active
    )
    modes = []
    frozen = model.base_model.encoder.layers[0].dropout
    frozen.register_forward_hook(lambda module, *_: modes.append(module.training))
    TwoViewTrainer(model, args, train_dataset=tiny.tiny_dataset(audio)).train()
    assert set(modes[:-1]) == {active} and modes[-1] is False  # the last counts operations


def test_frozen_dropout_without_frozen_layers_is_said(tiny, audio, tmp_path, caplog):
    from hf_rspin.training import TwoViewTrainer

    args = tiny.tiny_arguments(tmp_path, max_steps=1, save_strategy="no", frozen_dropout=True)
    TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio)).train()
    assert "frozen_dropout has no effect" in caplog.text


def test_training_leaves_frozen_layers_alone(tiny, audio, tmp_path):
    from hf_rspin.training import TwoViewTrainer

    model = tiny.tiny_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    args = tiny.tiny_arguments(tmp_path, max_steps=2, save_strategy="no", num_trainable_layers=1)
    TwoViewTrainer(model, args, train_dataset=tiny.tiny_dataset(audio)).train()
    moved = {name for name, p in model.named_parameters() if not p.equal(before[name])}
    assert all("layers.2" in name or "head" in name for name in moved)
    assert any("layers.2" in name for name in moved)
