"""Students: the first layers of a teacher, a YAML file, a folder; mistakes in one sentence."""

import pytest
import torch
from transformers import HubertModel, SEWDConfig, SEWDModel, WavLMModel

from hf_rspin.distillation.students import build_student
from hf_rspin.distillation.teachers import load_teacher
from hf_rspin.models.folders import encoder_folder
from hf_rspin.models.loading import load_encoder

from .conftest import save_encoder

FIELDS = {"target_dims": [16, 16], "student_layers": [-1, -1], "num_units": 5}


def build(student, teacher, seed=0, changes=None, **fields):
    torch.manual_seed(seed)
    return build_student(str(student), str(teacher), changes or {}, FIELDS | fields)


def write(tmp_path, text):
    (tmp_path / "student.yaml").write_text(text)
    return tmp_path / "student.yaml"


SMALL = """
hidden_size: 24
num_hidden_layers: 2
num_attention_heads: 2
intermediate_size: 32
conv_dim: [8, 8, 8]
conv_kernel: [160, 16, 1]
conv_stride: [16, 20, 1]
num_conv_pos_embeddings: 8
num_conv_pos_embedding_groups: 2
"""


@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_a_copy_has_the_front_end_and_the_first_layers(kind, request):
    folder = request.getfixturevalue(kind)
    teacher = load_encoder(folder)
    with torch.no_grad():
        source = teacher.state_dict()
    student = build("copy:2", folder).base_model
    own = student.state_dict()
    norm = {"encoder.layer_norm.weight", "encoder.layer_norm.bias"}
    copied = {n for n in own if n in source and torch.equal(own[n], source[n])}
    assert len(student.encoder.layers) == 2
    assert {n for n in own} - copied <= norm
    for part in ("feature_extractor.", "feature_projection.", "encoder.pos_conv_embed.",
                 "encoder.layers.0.", "encoder.layers.1."):  # fmt: skip
        assert any(name.startswith(part) for name in copied)


def test_the_norm_of_all_layers_begins_anew(tmp_path):
    teacher = save_encoder(tmp_path / "plain")
    with torch.no_grad():
        teacher.encoder.layer_norm.weight.fill_(3.0)
    teacher.save_pretrained(tmp_path)
    student = build("copy:2", tmp_path).base_model
    assert torch.equal(student.encoder.layer_norm.weight, torch.ones(16))


def test_a_copy_speaks_as_its_teacher_up_to_its_last_layer(hubert):
    wave = 0.1 * torch.randn(2, 6000, generator=torch.Generator().manual_seed(0))
    teacher, student = load_encoder(hubert), build("copy:2", hubert).eval()
    with torch.no_grad():
        wanted = teacher(wave, output_hidden_states=True).hidden_states[2]
        found = student(wave).last_hidden_state
    # the untouched norm of a post-norm encoder lies before its layers, and was ones and zeros
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_copy_takes_other_dropouts_and_no_feature_norm(hubert):
    changes = {"hidden_dropout": 0.25, "feat_proj_layer_norm": False}
    student = build("copy:1", hubert, changes=changes)
    assert student.config.hidden_dropout == 0.25
    assert student.base_model.config.hidden_dropout == 0.25
    drops = [m.p for m in student.base_model.modules() if isinstance(m, torch.nn.Dropout)]
    assert 0.25 in drops
    assert not hasattr(student.base_model.feature_projection, "layer_norm")


def test_a_yaml_file_is_an_encoder_of_any_shape(tmp_path, hubert):
    student = build(write(tmp_path, SMALL), hubert)
    assert isinstance(student.base_model, HubertModel)
    assert student.base_model.config.hidden_size == 24
    assert len(student.base_model.feature_extractor.conv_layers) == 3
    again, other = (build(tmp_path / "student.yaml", hubert, seed=seed) for seed in (0, 1))
    weight = "encoder.layers.1.feed_forward.output_dense.weight"
    first = student.base_model.state_dict()[weight]
    assert torch.equal(again.base_model.state_dict()[weight], first)
    assert not torch.equal(other.base_model.state_dict()[weight], first)


def test_a_yaml_file_names_its_family_and_a_filter_bank(tmp_path, hubert):
    text = f"model_type: wavlm\nfilterbank: true\n{SMALL}"
    first, other = (build(write(tmp_path, text), hubert, seed=seed) for seed in (0, 1))
    assert isinstance(first.base_model, WavLMModel)
    filters = [one.base_model.feature_extractor.conv_layers[0].conv.weight
               for one in (first, other)]  # fmt: skip
    assert torch.equal(*filters)  # no random draw


def test_a_folder_begins_with_its_weights(wavlm, hubert):
    student = build(wavlm, hubert, changes={"attention_dropout": 0.3})
    source = load_encoder(wavlm).state_dict()
    own = student.base_model.state_dict()
    assert own.keys() == source.keys() and all(torch.equal(own[n], source[n]) for n in own)
    assert student.config.attention_dropout == 0.3 and student.config.hidden_size == 20
    assert student.config.untrained_heads


def test_the_bundled_encoder_is_a_student_too(hubert):
    student = build("bundled", hubert)
    weight = "encoder.layers.0.feed_forward.output_dense.weight"
    wanted = load_encoder(encoder_folder()).state_dict()[weight]
    assert torch.equal(student.base_model.state_dict()[weight], wanted)


def test_frames_are_masked_where_it_was_asked_for(hubert):
    for masks in (False, True):
        student = build("copy:1", hubert, apply_spec_augment=masks)
        assert student.config.apply_spec_augment == masks
        assert student.base_model.masked_spec_embed.requires_grad == masks


def test_a_student_that_cannot_hide_frames_is_refused(hubert):
    """Before its teachers work for hours."""
    changes = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    with pytest.raises(ValueError, match="frames are to be masked, but mask_time_prob of the"):
        build("copy:1", hubert, changes=changes, apply_spec_augment=True)
    assert build("copy:1", hubert, changes=changes).config.mask_time_prob == 0


def test_a_student_learns_dropouts_of_its_own_config(tmp_path, hubert):
    """The defaults of the other objectives are not put in their place."""
    save_encoder(tmp_path, hidden_dropout=0.03, attention_dropout=0.02)
    student = build("copy:2", tmp_path)
    assert (student.config.hidden_dropout, student.config.attention_dropout) == (0.03, 0.02)


@pytest.mark.parametrize(
    ("student", "changes", "message"),
    [
        ("copy:99", {}, r"^student is copy:99; expected 1 to 3, the teacher's layers\.$"),
        ("copy:0", {}, r"^student is copy:0; expected 1 to 3"),
        ("copy:two", {}, "copy:two is neither a folder nor"),
        ("nowhere.yaml", {}, "student nowhere.yaml does not exist; expected a YAML file, copy:N"),
        ("nowhere", {}, "nowhere is neither a folder nor a model of the Hub"),
        ("copy:2", {"hidden_size": 8}, "does not fit what it is copied from: .* leave sizes out"),
        ("copy:2", {"hidden_dropuot": 0.1}, "hidden_dropuot, which is no field of the config of"),
        ("bundled", {"hidden_dropuot": 0.1}, "hidden_dropuot, which is no field of the config of"),
        ("copy:2", {"conv_stride": [5, 2, 2, 2, 2, 2, 4]}, "400 samples every 640; expected 400"),
    ],
)
def test_mistakes_are_said_in_one_sentence(student, changes, message, hubert):
    with pytest.raises(ValueError, match=message) as caught:
        build(student, hubert, changes=changes)
    assert "\n" not in str(caught.value)


def test_a_copy_of_whisper_is_refused(whisper):
    with pytest.raises(ValueError, match="student copy:2 takes the layers of the first teacher, "
                       "but .* is Whisper's encoder"):  # fmt: skip
        build("copy:2", whisper)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_sise: 24\n", "student.yaml names hidden_sise, which is no field of the config of"),
        ("- 3\n", "student.yaml holds no mapping; expected the fields of an encoder's config"),
        ("", "student.yaml holds no mapping"),
        ("model_type: bert\n", "got a 'bert' model; expected an encoder of one of these types"),
        (SMALL.replace("[16, 20, 1]", "[16, 10, 1]"), "400 samples every 160; expected 400"),
        ("hidden_size: [\n", "student.yaml is no YAML"),
    ],
)
def test_a_yaml_file_that_is_no_encoder_is_refused(tmp_path, text, message, hubert):
    with pytest.raises(ValueError, match=message):
        build(write(tmp_path, text), hubert)


def test_sew_d_is_a_teacher_and_a_student(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
             "intermediate_size": 24, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8,
             "num_conv_pos_embedding_groups": 2, "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
             "conv_stride": (5, 2, 2, 2, 2, 2, 2)}  # fmt: skip
    teacher = SEWDModel(SEWDConfig(**sizes))
    teacher.save_pretrained(tmp_path)
    wave = torch.randn(1, 720 + 320 * 10)
    with torch.no_grad():
        output = teacher.eval()(wave, output_hidden_states=True)
    (found,) = load_teacher(tmp_path, bf16=False).features([wave[0].numpy()], [1, 3])
    torch.testing.assert_close(found[:, 1], output.last_hidden_state[0], rtol=1e-4, atol=1e-5)
    wanted = output.hidden_states[1][0].repeat_interleave(2, dim=0)
    torch.testing.assert_close(found[:, 0], wanted, rtol=1e-4, atol=1e-5)
    student = build("copy:1", tmp_path).base_model
    own, source = student.state_dict(), teacher.state_dict()
    assert all(torch.equal(own[name], source[name]) for name in own)
