import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import WavLMConfig

from hf_rspin.models import SCORE_SETTINGS, LaserHubertConfig, LaserHubertModel, LaserWavLMConfig

from .conftest import PLAIN, SIZES
from .laser_models import LASER


def test_defaults_are_those_of_laser(family):
    config = LASER[family][0]()
    expected = {"hubert": (0.4, 1.1), "wavlm": (0.15, 1.0)}[family]
    assert (config.idm_weight, config.idm_margin) == expected
    fields = {
        "projection_size": 256,
        "projection_layers": 1,
        "soft_dtw_gamma": 0.1,
        "idm_sigma": 0,
        "length_normalization": False,
        "frozen_teacher": False,
        "layerdrop": 0.0,
        "apply_spec_augment": False,
        "hidden_dropout": 0.1,
        "attention_dropout": 0.1,
        "activation_dropout": 0.0,
        "model_type": family,
    }
    assert {name: getattr(config, name) for name in fields} == fields


def test_settings_of_score(family):
    config = LASER[family][0](**SCORE_SETTINGS[family])
    assert config.frozen_teacher and config.length_normalization and config.idm_weight == 0
    assert config.projection_layers == {"hubert": 1, "wavlm": 2}[family]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("projection_size", 0, "projection_size is 0; expected a positive integer"),
        ("projection_layers", 3, r"projection_layers is 3; expected 1 \(Linear\) or 2"),
        ("soft_dtw_gamma", 0.0, "soft_dtw_gamma is 0.0; expected a positive, finite number"),
        ("soft_dtw_gamma", float("nan"), "soft_dtw_gamma is nan"),
        ("idm_weight", -0.1, "idm_weight is -0.1; expected a finite number of at least 0"),
        ("idm_margin", 0.0, "idm_margin is 0.0; expected a number above 0 and up to 2"),
        ("idm_margin", 2.5, "idm_margin is 2.5"),
        ("idm_sigma", -1, "idm_sigma is -1; expected an integer of at least 0"),
        ("idm_sigma", 1.5, "idm_sigma.*expected int"),
        ("frozen_teacher", "yes", "frozen_teacher.*expected bool"),
        ("layerdrop", 0.1, "layerdrop is 0.1; expected 0"),
    ],
)
def test_refuses_wrong_values(family, field, value, message):
    with pytest.raises(StrictDataclassError, match=message):
        LASER[family][0](**{field: value})


def test_a_plain_folder_gets_our_training_defaults(family, tmp_path):
    PLAIN[family][0](**SIZES, layerdrop=0.2, activation_dropout=0.3).save_pretrained(tmp_path)
    config = LASER[family][0].from_pretrained(tmp_path, idm_weight=0.3)
    assert (config.layerdrop, config.activation_dropout, config.apply_spec_augment) == (0, 0, False)
    assert (config.idm_weight, config.hidden_size) == (0.3, SIZES["hidden_size"])
    config = LASER[family][0](**SIZES, activation_dropout=0.3)
    config.save_pretrained(tmp_path)
    assert LASER[family][0].from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_what_does_not_belong_is_refused(tmp_path):
    WavLMConfig(**SIZES).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'wavlm' encoder, and LaserHubertConfig reads"):
        LaserHubertConfig.from_pretrained(tmp_path)
    with pytest.raises(StrictDataclassError, match="add_adapter is True"):
        LaserWavLMConfig(add_adapter=True)
    with pytest.raises(ValueError, match="holds a 'wavlm' encoder, and LaserHubertConfig reads"):
        LaserHubertModel(WavLMConfig(**SIZES))
