import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import HubertConfig, WavLMConfig

from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel, RSpinWavLMConfig

from .conftest import PLAIN, SIZES, WITH_HEADS


def test_defaults_are_those_of_the_paper(family):
    config = WITH_HEADS[family][0]()
    fields = {
        "projection_size": 256,
        "codebook_size": 32,
        "num_pseudo_labels": None,
        "spin_layer": -1,
        "auxiliary_layer": -1,
        "spin_loss_weight": 1.0,
        "auxiliary_loss_weight": 5.0,
        "temperature": 0.1,
        "sinkhorn_epsilon": 0.02,
        "sinkhorn_iterations": 3,
        "layerdrop": 0.0,
        "apply_spec_augment": False,
        "hidden_dropout": 0.1,
        "attention_dropout": 0.1,
        "feat_proj_dropout": 0.1,
        "activation_dropout": 0.0,
        "model_type": family,
    }
    assert {name: getattr(config, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("projection_size", 0, "projection_size is 0; expected a positive integer"),
        ("projection_size", 2.5, "projection_size.*expected int"),
        ("codebook_size", 1, "codebook_size is 1; expected at least 2"),
        ("codebook_size", "32", "codebook_size.*expected int"),
        ("num_pseudo_labels", 0, "num_pseudo_labels is 0; expected .* None for no auxiliary"),
        ("spin_layer", 13, "spin_layer is 13; expected an index into the 13 hidden states"),
        ("spin_layer", -14, "spin_layer is -14"),
        ("auxiliary_layer", 99, "auxiliary_layer is 99"),
        ("spin_loss_weight", -1.0, "spin_loss_weight is -1.0; expected a finite number"),
        ("auxiliary_loss_weight", float("nan"), "auxiliary_loss_weight is nan"),
        ("temperature", 0.0, "temperature is 0.0; expected a positive, finite number"),
        ("temperature", "hot", "temperature"),
        ("sinkhorn_epsilon", -0.02, "sinkhorn_epsilon is -0.02; expected a positive"),
        ("sinkhorn_iterations", 0, "sinkhorn_iterations is 0; expected a positive integer"),
    ],
)
def test_refuses_wrong_values(family, field, value, message):
    with pytest.raises(StrictDataclassError, match=message):
        WITH_HEADS[family][0](**{field: value})


def test_refuses_an_inner_layer_with_layer_drop(family):
    config_class = WITH_HEADS[family][0]
    config_class(layerdrop=0.1, spin_layer=12)
    with pytest.raises(StrictDataclassError, match="spin_layer is 6 and layerdrop is 0.1"):
        config_class(layerdrop=0.1, spin_layer=6)


def test_a_wrong_value_set_on_a_config_is_refused_by_the_model():
    config = RSpinHubertConfig(**SIZES)
    config.spin_layer = 7
    with pytest.raises(StrictDataclassError, match="spin_layer is 7"):
        RSpinHubertModel(config)


def test_a_plain_config_gets_the_fields_in_the_model():
    plain = HubertConfig(**SIZES, layerdrop=0.2)
    config = RSpinHubertModel(plain).config
    assert type(config) is RSpinHubertConfig and config.codebook_size == 32
    assert config.layerdrop == 0.0 and plain.layerdrop == 0.2


def test_a_plain_folder_gets_our_training_defaults(family, tmp_path):
    PLAIN[family][0](**SIZES, layerdrop=0.2, activation_dropout=0.3).save_pretrained(tmp_path)
    config_class = WITH_HEADS[family][0]
    config = config_class.from_pretrained(tmp_path)
    assert (config.layerdrop, config.activation_dropout, config.apply_spec_augment) == (0, 0, False)
    assert config.hidden_size == SIZES["hidden_size"]
    given = config_class.from_pretrained(tmp_path, layerdrop=0.05, codebook_size=9)
    assert (given.layerdrop, given.codebook_size) == (0.05, 9)


def test_a_folder_with_heads_keeps_what_it_was_saved_with(family, tmp_path):
    config_class = WITH_HEADS[family][0]
    saved = config_class(**SIZES, activation_dropout=0.3, apply_spec_augment=True, codebook_size=9)
    saved.save_pretrained(tmp_path)
    assert config_class.from_pretrained(tmp_path).to_dict() == saved.to_dict()


def test_keyword_arguments_are_checked_too(tmp_path):
    HubertConfig(**SIZES).save_pretrained(tmp_path)
    with pytest.raises(StrictDataclassError, match="spin_layer is 4"):
        RSpinHubertConfig.from_pretrained(tmp_path, spin_layer=4)


def test_the_other_family_is_refused(tmp_path):
    WavLMConfig(**SIZES).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'wavlm' encoder, and RSpinHubertConfig reads"):
        RSpinHubertConfig.from_pretrained(tmp_path)


def test_layers_of_another_rate_are_refused():
    with pytest.raises(StrictDataclassError, match="add_adapter is True"):
        RSpinWavLMConfig(add_adapter=True)
