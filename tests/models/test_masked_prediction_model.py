"""Masked prediction over all families of encoders, and at every resolution of MR-HuBERT."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from torch.nn.functional import cosine_similarity, cross_entropy

from hf_rspin.models import MaskedPredictionModel, load_encoder
from hf_rspin.models.backbones import MRHubertConfig
from hf_rspin.models.encoder import FAMILIES
from hf_rspin.models.modeling_masked_prediction import predicted_strides
from hf_rspin.models.own_types import config_class_of, model_class_of

from .conftest import NO_DROPOUT, SIZES
from .test_every_family import SEWD, waveforms

FRAMES = 18  # of waveforms of 6000 samples
QUIET = NO_DROPOUT | {"layerdrop": 0.0, "activation_dropout": 0.0}
# what transformers builds and never runs
UNUSED = {"wav2vec2-conformer": ("pos_conv_embed",)}


def config_of(family, **options):
    return config_class_of(family)(**SIZES | (SEWD if family.startswith("sew") else {}) | options)


def build(config, **fields):
    torch.manual_seed(0)
    return MaskedPredictionModel(
        MaskedPredictionModel.with_fields(config, num_frame_labels=7, final_dim=5, **fields)
    )


def labels(frames=FRAMES):
    return torch.randint(0, 7, (2, frames), generator=torch.Generator().manual_seed(3))


def a_mask(frames=FRAMES):
    mask = torch.zeros(2, frames, dtype=torch.bool)
    mask[0, 2:7] = mask[1, 9:] = True
    return mask


def by_hand(head, states, targets):
    """Cross-entropy of cosines over 0.1, frame by frame, and its accuracy."""
    projected = states @ head.projection.weight.T + head.projection.bias
    logits = torch.stack(
        [cosine_similarity(projected, vector[None], dim=-1) for vector in
         head.label_embeddings.weight], dim=-1,
    ) / 0.1  # fmt: skip
    right = (logits.argmax(-1) == targets).float().mean().item()
    return cross_entropy(logits, targets).item(), right


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_of_every_family_learns_and_the_encoder_is_plain(family, tmp_path):
    model = build(config_of(family, layerdrop=0.0), unmasked_weight=0.3).train()
    output = model(waveforms(), mask_time_indices=a_mask(), labels=labels())
    output.loss.backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert [n for n in silent if not any(part in n for part in UNUSED.get(family, ()))] == []
    assert 0 <= output.masked_accuracy <= 1 and output.loss.isfinite()
    model.eval().save_pretrained(tmp_path)
    again = MaskedPredictionModel.from_pretrained(tmp_path).eval()
    assert model(waveforms(), mask_time_indices=a_mask(), labels=labels()).loss == again(
        waveforms(), mask_time_indices=a_mask(), labels=labels()
    ).loss
    plain = load_encoder(tmp_path)
    assert type(plain) is model_class_of(config_class_of(family))
    assert not hasattr(plain.config, "num_frame_labels")
    torch.testing.assert_close(
        plain(waveforms()).last_hidden_state, model(waveforms()).last_hidden_state
    )


@pytest.mark.parametrize("family", ["wavlm", "sew-d", "data2vec-audio"])
def test_the_loss_of_one_resolution_by_hand(family):
    model = build(config_of(family, **QUIET), unmasked_weight=0.25).eval()
    frames = FRAMES + 1  # an odd number: the last of SEW-D says nothing
    samples = waveforms(6320)
    output = model(samples, mask_time_indices=a_mask(frames), labels=labels(frames))
    states = model.base_model(samples, mask_time_indices=a_mask(frames)).last_hidden_state
    assert not torch.allclose(states, model.base_model(samples).last_hidden_state)
    counts = torch.ones(2, frames, dtype=torch.bool)
    counts[:, -1] = family != "sew-d"
    parts = [by_hand(model.label_heads[0], states[where], labels(frames)[where])
             for where in (a_mask(frames) & counts, ~a_mask(frames) & counts)]  # fmt: skip
    assert output.loss.item() == pytest.approx(parts[0][0] + 0.25 * parts[1][0], rel=1e-4)
    assert output.masked_accuracy.item() == pytest.approx(parts[0][1])
    assert output.loss_high is None and output.loss_low is None


@pytest.mark.parametrize(
    ("variant", "names"),
    [({}, ["low", "high"]), ({"resolution_strides": (1, 1)}, ["low", "high"]),
     ({"resolution_strides": (4, 2, 1), "num_hidden_layers": 5}, ["low", "middle", "high"])],
)  # fmt: skip
def test_every_resolution_takes_its_share_of_one_set_of_labels(variant, names):
    model = build(MRHubertConfig(**SIZES | QUIET | variant), unmasked_weight=0.25).eval()
    given = {"mask_time_indices": a_mask(FRAMES + 1), "labels": labels(FRAMES + 1)}
    output = model(waveforms(6320), **given)
    states = model.base_model(waveforms(6320), mask_time_indices=a_mask(FRAMES + 1))
    total = 0.0
    for name, head, own, stride in zip(
        names, model.label_heads, states.resolution_outputs, model.config.resolution_strides,
        strict=True,
    ):  # fmt: skip
        hidden, told = given["mask_time_indices"][:, ::stride], given["labels"][:, ::stride]
        assert own.shape[1] == told.shape[1] == -(-(FRAMES + 1) // stride)
        masked, right = by_hand(head, own[hidden], told[hidden])
        loss = masked + 0.25 * by_hand(head, own[~hidden], told[~hidden])[0]
        assert output[f"loss_{name}"].item() == pytest.approx(loss, rel=1e-4)
        accuracy = "masked_accuracy" if name == "high" else f"accuracy_{name}"
        assert output[accuracy].item() == pytest.approx(right)
        total += loss
    assert output.loss.item() == pytest.approx(total, rel=1e-4)
    tensors = [head.label_embeddings.weight for head in model.label_heads]
    assert not any(torch.equal(tensors[0], other) for other in tensors[1:])  # untied


def test_without_the_auxiliary_loss_the_highest_resolution_is_told_alone():
    config = MRHubertConfig(**SIZES | QUIET | {"num_predictions": 1})
    model = build(config).eval()
    assert predicted_strides(config) == [1] and len(model.label_heads) == 1
    output = model(waveforms(), mask_time_indices=a_mask(), labels=labels())
    states = model.base_model(waveforms(), mask_time_indices=a_mask()).last_hidden_state
    wanted, right = by_hand(model.label_heads[0], states[a_mask()], labels()[a_mask()])
    assert output.loss.item() == pytest.approx(wanted, rel=1e-4)
    assert output.masked_accuracy.item() == pytest.approx(right) and output.loss_low is None


def test_labels_of_frames_between_those_of_the_low_resolution_say_nothing_to_it():
    model = build(MRHubertConfig(**SIZES | QUIET)).eval()
    other = labels()
    other[:, 1::2] = (other[:, 1::2] + 1) % 7
    first, second = (model(waveforms(), mask_time_indices=a_mask(), labels=one)
                     for one in (labels(), other))  # fmt: skip
    assert first.loss_low == second.loss_low and first.loss_high != second.loss_high


def test_padding_and_frames_without_label_do_not_count():
    model = build(config_of("hubert", **QUIET)).eval()
    mask = torch.ones(2, 6000, dtype=torch.long)
    mask[1, 4000:] = 0  # 12 frames
    told, other = labels(), labels()
    told[0, 3], other[1, 12:] = -100, 0
    other[0, 3] = -100
    losses = [model(waveforms(), mask, a_mask(), one).loss for one in (told, other)]
    assert losses[0] == losses[1]
    told[1, 10] = (told[1, 10] + 1) % 7
    assert model(waveforms(), mask, a_mask(), told).loss != losses[0]


def test_the_penalty_is_the_mean_square_of_what_the_convolutions_give():
    plain, fined = (build(config_of("hubert", **QUIET), feature_penalty=weight).eval()
                    for weight in (0.0, 10.0))  # fmt: skip
    losses = [m(waveforms(), mask_time_indices=a_mask(), labels=labels()) for m in (plain, fined)]
    wanted = 10 * plain.base_model.feature_extractor(waveforms()).square().mean()
    torch.testing.assert_close(losses[1].feature_penalty, wanted)
    torch.testing.assert_close(losses[1].loss - losses[0].loss, wanted, rtol=1e-4, atol=1e-6)
    assert losses[0].feature_penalty is None


def test_dropouts_are_those_of_the_encoder_and_not_of_fine_tuning():
    config = config_of("hubert", hidden_dropout=0.3, layerdrop=0.2, apply_spec_augment=False)
    found = MaskedPredictionModel.with_fields(config)
    assert (found.hidden_dropout, found.layerdrop, found.activation_dropout) == (0.3, 0.2, 0.1)
    assert found.apply_spec_augment is True


def test_what_cannot_be_told_is_refused():
    with pytest.raises(ValueError, match="hides no frames: .* mask_time_prob above 0"):
        build(config_of("hubert", mask_time_prob=0.0))
    with pytest.raises(ValueError, match="4 resolutions are predicted; expected 1 to 3"):
        build(MRHubertConfig(**SIZES | {"resolution_strides": (8, 4, 2, 1),
                                        "num_hidden_layers": 7}))  # fmt: skip
    model = build(config_of("hubert"))
    with pytest.raises(ValueError, match=r"labels of shape \(2, 17\); expected \(2, 18\)"):
        model(waveforms(), mask_time_indices=a_mask(), labels=labels(17))
    with pytest.raises(ValueError, match=r"mask_time_indices of shape \(2, 17\); expected"):
        model(waveforms(), mask_time_indices=a_mask(17), labels=labels())
    with pytest.raises(ValueError, match="labels, but no mask_time_indices"):
        model(waveforms(), labels=labels())
    for wrong, text in (({"num_frame_labels": 0}, "num_frame_labels is 0; expected a positive int"),
                        ({"unmasked_weight": -1}, "unmasked_weight is -1; expected a finite")):
        with pytest.raises(StrictDataclassClassValidationError, match=text):
            MaskedPredictionModel.with_fields(config_of("hubert"), **wrong)
