import pytest
import torch

from hf_rspin.training.schedule import learning_rate, linear_warmup_and_decay

# Update: learning rate of the paper's schedule, 1e-6 -> 1e-4 -> 1e-6, 2500 of 5000 warming up.
EXPECTED = {
    0: 1e-6,
    1: 1e-6 + 99e-6 / 2500,
    1249: 1e-6 + 99e-6 * 1249 / 2500,
    2500: 1e-4,
    3750: 1e-4 - 99e-6 * 1250 / 2499,
    4998: 1e-6 + 99e-6 / 2499,
    4999: 1e-6,
}


@pytest.mark.parametrize(("step", "expected"), EXPECTED.items())
def test_schedule_of_the_paper(step, expected):
    assert learning_rate(step, 1e-4, 1e-6, 2500, 5000) == pytest.approx(expected, rel=1e-12)


def test_scheduler_gives_update_n_the_rate_of_n():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    scheduler = linear_warmup_and_decay(optimizer, 1e-6, 4, 10)
    used = []
    for _ in range(10):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert used == pytest.approx([learning_rate(n, 1e-4, 1e-6, 4, 10) for n in range(10)])
    assert used[0] == pytest.approx(1e-6)
    assert used[4] == pytest.approx(1e-4)
    assert used[-1] == pytest.approx(1e-6)


@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (0, 5), (5, 5), (7, 5), (1, 1)])
def test_odd_lengths_stay_between_the_limits(warmup, total):
    rates = [learning_rate(step, 1e-4, 1e-6, warmup, total) for step in range(total + 2)]
    assert all(1e-6 * (1 - 1e-9) <= rate <= 1e-4 for rate in rates)
