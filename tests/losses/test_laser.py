import pytest
import torch
from torch.nn.functional import normalize

from hf_rspin.losses import contrastive_idm, laser_loss, soft_dtw_divergence

LENGTHS = ([9, 4], [11, 10])


def two_views():
    torch.manual_seed(0)
    shapes = ((2, 9, 5), (2, 11, 5))
    return [
        normalize(torch.randn(shape, dtype=torch.float64), dim=2).requires_grad_()
        for shape in shapes
    ]


def test_laser_is_divergence_and_weighted_regularisers_averaged_over_pairs():
    views = two_views()
    found = laser_loss(*views, *LENGTHS, gamma=0.2, alpha=0.15, sigma=1, margin=1.0)
    divergence = soft_dtw_divergence(*views, 0.2, *LENGTHS)
    clean, perturbed = (
        contrastive_idm(view, lengths, 1, 1.0) for view, lengths in zip(views, LENGTHS, strict=True)
    )
    torch.testing.assert_close(found.soft_dtw_divergence, divergence)
    torch.testing.assert_close(found.idm_clean, clean)
    torch.testing.assert_close(found.idm_perturbed, perturbed)
    expected = (divergence + 0.15 * (clean + perturbed)).mean()
    torch.testing.assert_close(found.loss, expected)
    for one, other in zip(
        torch.autograd.grad(found.loss, views), torch.autograd.grad(expected, views), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_score_divides_by_the_valid_frames_of_both_views_and_has_no_regulariser():
    views = two_views()
    found = laser_loss(*views, *LENGTHS, alpha=0, length_normalization=True)
    frames = torch.tensor([20, 14])
    expected = (soft_dtw_divergence(*views, 0.1, *LENGTHS) / frames).mean()
    torch.testing.assert_close(found.loss, expected)
    for one, other in zip(
        torch.autograd.grad(found.loss, views), torch.autograd.grad(expected, views), strict=True
    ):
        torch.testing.assert_close(one, other)
    assert (found.idm_perturbed > 0).all() and not found.idm_perturbed.requires_grad


def test_without_lengths_all_frames_count():
    views = two_views()
    found = laser_loss(*views, length_normalization=True)
    explicit = laser_loss(*views, [9, 9], torch.tensor([11, 11]), length_normalization=True)
    for one, other in zip(found, explicit, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -0.1}, "alpha is -0.1; expected 0 or a positive number"),
        ({"gamma": 0}, "gamma is 0; expected a positive number"),
        ({"clean_lengths": [9, 10]}, r"lengths\[1\] is 10; expected 1 to 9"),
    ],
)
def test_refuses_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        laser_loss(*two_views(), **options)
