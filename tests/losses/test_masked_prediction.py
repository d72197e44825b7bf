"""HuBERT's masked prediction: cosines over 0.1, frames that do not count, gradients."""

import math

import pytest
import torch

from hf_rspin.losses.masked_prediction import masked_prediction_loss


def inputs(frames=9, clusters=4, dim=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    predictions = torch.randn(frames, dim, generator=generator, dtype=dtype)
    embeddings = torch.randn(clusters, dim, generator=generator, dtype=dtype)
    return predictions, embeddings, torch.randint(0, clusters, (frames,), generator=generator)


def test_closed_form_of_frames_that_are_embeddings():
    eye = torch.eye(4, dtype=torch.float64)
    found = masked_prediction_loss(5 * eye, 0.1 * eye, torch.arange(4))
    assert found.loss.item() == pytest.approx(math.log(1 + 3 * math.exp(-10)), rel=1e-9)
    assert found.accuracy == 1
    wrong = masked_prediction_loss(eye, eye, torch.tensor([1, 1, 2, 3]))
    assert wrong.loss.item() == pytest.approx(math.log(1 + 3 * math.exp(-10)) + 10 / 4, rel=1e-9)
    assert wrong.accuracy == 0.75


def test_equals_brute_force_over_frames_that_count():
    predictions, embeddings, labels = inputs()
    labels[0] = (predictions[0] @ embeddings.T / embeddings.norm(dim=1)).argmax()
    labels[[2, 7]] = -100
    losses, right = [], []
    for frame, label in zip(predictions, labels.tolist(), strict=True):
        if label >= 0:
            cosines = [torch.dot(frame, e) / frame.norm() / e.norm() for e in embeddings]
            exponents = [math.exp(cosine / 0.1) for cosine in cosines]
            losses.append(-math.log(exponents[label] / sum(exponents)))
            right.append(max(range(4), key=lambda i: cosines[i]) == label)
    found = masked_prediction_loss(predictions, embeddings, labels)
    assert found.loss.item() == pytest.approx(sum(losses) / 7, rel=1e-9)
    assert found.accuracy.item() == pytest.approx(sum(right) / 7)
    assert 0 < sum(right) < 7


def test_only_directions_matter():
    predictions, embeddings, labels = inputs()
    scales = torch.linspace(0.1, 9, 9, dtype=torch.float64)[:, None]
    one = masked_prediction_loss(predictions, embeddings, labels).loss
    torch.testing.assert_close(masked_prediction_loss(predictions * scales, 7 * embeddings,
                                                      labels).loss, one)  # fmt: skip


def test_frames_without_a_label_never_count():
    predictions, embeddings, labels = inputs()
    labels[5:] = -100
    wanted = masked_prediction_loss(predictions[:5], embeddings, labels[:5])
    predictions[5:] = 1e6
    predictions.requires_grad_()
    found = masked_prediction_loss(predictions, embeddings, labels)
    torch.testing.assert_close(found.loss, wanted.loss)
    assert found.accuracy == wanted.accuracy
    found.loss.backward()
    assert (predictions.grad[5:] == 0).all() and (predictions.grad[:5] != 0).any()


@pytest.mark.parametrize("frames", [0, 3])
def test_no_frame_that_counts_is_no_loss(frames):
    predictions, embeddings, _ = inputs()
    embeddings.requires_grad_()
    found = masked_prediction_loss(predictions[:frames], embeddings, torch.full((frames,), -100))
    found.loss.backward()
    assert found.loss == 0 and found.accuracy == 0 and (embeddings.grad == 0).all()


def test_gradients():
    predictions, embeddings, labels = inputs(frames=4, clusters=3, dim=3)
    labels[1] = -100
    pair = [predictions.requires_grad_(), embeddings.requires_grad_()]
    assert torch.autograd.gradcheck(lambda p, e: masked_prediction_loss(p, e, labels).loss, pair)


def test_half_precision_is_computed_in_float32():
    predictions, embeddings, labels = inputs(dtype=torch.float32, dim=64)
    halves = predictions.bfloat16(), embeddings.bfloat16()
    wanted = masked_prediction_loss(*(half.float() for half in halves), labels)
    with torch.autocast("cpu", torch.bfloat16):
        found = masked_prediction_loss(*halves, labels)
    assert found.loss.dtype == torch.float32 and torch.equal(found.loss, wanted.loss)
    assert not found.accuracy.requires_grad
