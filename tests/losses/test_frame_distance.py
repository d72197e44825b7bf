import pytest
import torch
from torch.nn.functional import normalize

from hf_rspin.losses import contrastive_idm, frame_distance, laser_loss, soft_dtw


def two_views(frames=(9, 9)):
    torch.manual_seed(0)
    return [
        normalize(torch.randn(2, count, 5, dtype=torch.float64), dim=2).requires_grad_()
        for count in frames
    ]


def test_it_is_the_sum_over_valid_frames():
    views = two_views()
    x, y = (view.detach() for view in views)
    wanted = [sum(float((x[b, t] - y[b, t]).square().sum()) for t in range(n))
              for b, n in enumerate((9, 4))]  # fmt: skip
    torch.testing.assert_close(frame_distance(*views, [9, 4]).tolist(), wanted)
    gradient = torch.autograd.grad(frame_distance(*views, [9, 4]).sum(), views[0])[0]
    assert gradient[1, :4].all() and not gradient[1, 4:].any()
    assert torch.autograd.gradcheck(lambda x, y: frame_distance(x, y, [9, 4]), views)


def test_it_is_the_cost_of_the_diagonal_which_the_best_path_does_not_exceed():
    views = two_views()
    assert (soft_dtw(*views, gamma=1e-4) <= frame_distance(*views) + 1e-9).all()
    near = [views[0], normalize(views[0] + 0.01 * views[1], dim=2)]
    torch.testing.assert_close(soft_dtw(*near, gamma=1e-6), frame_distance(*near))


def test_laser_with_it_keeps_the_regulariser():
    views = two_views()
    lengths = [9, 4]
    found = laser_loss(*views, lengths, lengths, alpha=0.3, alignment="frames")
    idm = contrastive_idm(views[0], lengths) + contrastive_idm(views[1], lengths)
    distance = frame_distance(*views, lengths)
    torch.testing.assert_close(found.soft_dtw_divergence, distance)
    torch.testing.assert_close(found.loss, (distance + 0.3 * idm).mean())
    found = laser_loss(*views, lengths, lengths, alpha=0, alignment="frames",
                       length_normalization=True)  # fmt: skip
    cosines = torch.linalg.vecdot(*views)
    wanted = torch.stack([1 - cosines[0].mean(), 1 - cosines[1, :4].mean()])
    torch.testing.assert_close(found.soft_dtw_divergence, wanted)


def test_views_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="have 9 and 11 frames; expected equally many"):
        frame_distance(*two_views((9, 11)))
    with pytest.raises(ValueError, match=r"have \[9, 4\] and \[9, 5\] valid frames"):
        laser_loss(*two_views(), [9, 4], [9, 5], alignment="frames")
    with pytest.raises(ValueError, match="alignment is 'dtw'; expected one of soft_dtw, frames"):
        laser_loss(*two_views(), alignment="dtw")
