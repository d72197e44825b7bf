import logging

import pytest
from transformers import TrainerControl, TrainerState

from hf_rspin.training.callbacks import CodebookCollapseCallback, LogBeforeSave, LossCheck


@pytest.fixture
def feed(tiny, tmp_path):
    def run(perplexities, **options):
        args = tiny.tiny_arguments(tmp_path, **{"collapse_grace_steps": 2, **options})
        monitor, control = CodebookCollapseCallback(codebook_size=32), TrainerControl()
        for step, value in enumerate(perplexities, 1):
            logs = {"loss": 1.0, "code_perplexity": value}
            monitor.on_log(args, TrainerState(global_step=step), control, logs)
        return control

    return run


def warnings(caplog):
    return [r for r in caplog.records if r.levelno == logging.WARNING and "collaps" in r.message]


def test_steady_codebook_gives_no_warning(feed, caplog):
    assert not feed([1.0, 20, 25, 24, 26], stop_on_collapse=True).should_training_stop
    assert not warnings(caplog)


def test_fall_below_half_of_the_peak_warns_once_and_goes_on(feed, caplog):
    assert not feed([20, 25, 12, 11, 10]).should_training_stop
    assert len(warnings(caplog)) == 1
    assert "12.00 at update 3" in warnings(caplog)[0].message


def test_recovery_arms_the_warning_again(feed, caplog):
    feed([20, 25, 12, 24, 12])
    assert len(warnings(caplog)) == 2


def test_never_rising_above_a_share_of_the_codebook_is_collapse(feed, caplog):
    feed([3.0, 3.0, 3.0])
    assert len(warnings(caplog)) == 1


def test_stops_when_asked(feed):
    assert feed([20, 25, 12], stop_on_collapse=True).should_training_stop


def test_a_loss_that_is_not_finite_raises(tiny, tmp_path):
    with pytest.raises(FloatingPointError, match="nan at update 7"):
        LossCheck().on_log(
            tiny.tiny_arguments(tmp_path),
            TrainerState(global_step=7),
            TrainerControl(),
            {"loss": float("nan")},
        )


def test_every_save_comes_with_a_log():
    control = TrainerControl(should_save=True)
    LogBeforeSave().on_step_end(None, None, control)
    assert control.should_log
