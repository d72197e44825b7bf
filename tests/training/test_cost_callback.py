"""Every run leaves cost.json: whole at the end, honest at a checkpoint, summed over its parts."""

import json
from pathlib import Path

import pytest
from transformers import TrainerCallback

from hf_rspin.adapters import AdapterArguments, adapted_model
from hf_rspin.cost import COST_FILE, RunCost, cost_table, forward_flops
from hf_rspin.training import TwoViewTrainer
from hf_rspin.training.cost_callback import CostCallback


class ReadCost(TrainerCallback):
    """Keeps what the file says after each checkpoint."""

    def __init__(self):
        self.seen = []

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step and state.global_step % args.save_steps == 0:
            self.seen.append(RunCost.read(args.output_dir))


@pytest.fixture
def make(tiny, audio, tmp_path):
    """Return a trainer of four updates, of an adapter where one is named."""

    def trainer(adapter="none", model=None, callbacks=(), **options):
        args = tiny.tiny_arguments(tmp_path / "run", **{"max_steps": 4, "save_steps": 2, **options})
        model = AdapterArguments(adapter=adapter, lora_rank=2).wrap(model or tiny.tiny_model())
        return TwoViewTrainer(
            model, args, train_dataset=tiny.tiny_dataset(audio), callbacks=callbacks
        )

    return trainer


def noted(folder):
    """Return the state of a checkpoint, and where it lies."""
    file = folder / "trainer_state.json"
    return json.loads(file.read_text()), file


@pytest.mark.parametrize("adapter", ["none", "lora", "read"])
def test_a_run_says_what_it_cost(make, tiny, tmp_path, adapter):
    reader = ReadCost()
    trainer = make(adapter, callbacks=[reader])
    trainer.train()
    cost = RunCost.read(tmp_path / "run")
    assert (cost.updates, cost.num_processes, cost.device_type, cost.num_gpus) == (4, 1, "cpu", 0)
    assert cost.processed_hours == pytest.approx(trainer.processed_hours)
    assert 0 < cost.device_seconds <= cost.wall_seconds <= trainer.wall_seconds
    assert cost.device.startswith("CPU") and cost.peak_memory_bytes > 20 << 20
    assert cost.peak_gpu_memory_bytes is None and cost.init is None
    assert (cost.energy_joules is None) == (cost.energy_method == "none")
    operations = forward_flops(adapted_model(trainer.model).base_model)
    plain = forward_flops(tiny.tiny_model().base_model)
    assert cost.forward_gflops_per_second_of_speech == operations / 1e9
    assert operations == plain if adapter == "none" else operations > plain
    (early,) = reader.seen
    assert early.updates == 2 and 0 < early.processed_hours < cost.processed_hours
    assert early.forward_gflops_per_second_of_speech is None
    assert list(cost_table([tmp_path / "run"], with_paper=False)["Model"]) == ["run"]


def test_a_resumed_run_adds_the_parts(make, tmp_path):
    make().train()
    state, file = noted(tmp_path / "run" / "checkpoint-2")
    state["stateful_callbacks"]["RunProgress"]["attributes"]["wall_seconds"] = 7200.0
    mine = state["stateful_callbacks"]["CostCallback"]["attributes"]
    mine |= {"energy_joules": 1e6, "energy_method": "nvml", "device_seconds": 14_400.0,
             "peak_memory_bytes": 1 << 50}  # fmt: skip
    file.write_text(json.dumps(state))
    make().train(resume_from_checkpoint=str(file.parent))
    cost = RunCost.read(tmp_path / "run")
    assert 7200 < cost.wall_seconds < 7300 and 14_400 < cost.device_seconds < 14_500
    assert cost.peak_memory_bytes == 1 << 50 and cost.updates == 4
    # measured here or not: never the first part alone
    assert cost.energy_joules is None or cost.energy_joules > 1e6
    assert cost.energy_method != "nvml"


def test_a_checkpoint_of_an_earlier_version_has_no_energy(make, tmp_path):
    make().train()
    state, file = noted(tmp_path / "run" / "checkpoint-2")
    del state["stateful_callbacks"]["CostCallback"]
    state["stateful_callbacks"]["RunProgress"]["attributes"]["wall_seconds"] = 100.0
    file.write_text(json.dumps(state))
    make().train(resume_from_checkpoint=str(file.parent))
    cost = RunCost.read(tmp_path / "run")
    assert (cost.energy_joules, cost.energy_method) == (None, "none")
    assert 100 < cost.device_seconds <= cost.wall_seconds < 200


def test_energy_of_all_parts_is_summed(make, tmp_path):
    """The counter is a real file; the callback finds it where the machine would have it."""
    trainer = make()
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, value in (("name", "package-0"), ("max_energy_range_uj", 10**12), ("energy_uj", 0)):
        (zone / name).write_text(str(value))
    callback_of(trainer).powercap = tmp_path / "powercap"

    class Burn(TrainerCallback):
        """Uses a joule in every update."""

        def on_step_begin(self, args, state, control, **kwargs):
            (zone / "energy_uj").write_text(str(10**6 + int((zone / "energy_uj").read_text())))

    trainer.add_callback(Burn())
    trainer.train()
    cost = RunCost.read(tmp_path / "run")
    assert (cost.energy_joules, cost.energy_method) == (4.0, "rapl")
    state, _ = noted(tmp_path / "run" / "checkpoint-2")
    assert state["stateful_callbacks"]["CostCallback"]["attributes"]["energy_joules"] == 2.0
    trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert RunCost.read(tmp_path / "run").energy_joules == 4.0  # 2 of before and 2 of now
    trainer = make(overwrite_output_dir=True, max_steps=1, callbacks=[Gone()])
    callback_of(trainer).powercap = tmp_path / "powercap"
    trainer.train()
    cost = RunCost.read(tmp_path / "run")
    assert (cost.updates, cost.energy_joules) == (1, 0.0)  # nothing of before


class Gone(TrainerCallback):
    """Looks for the file of the run before, while the next one trains."""

    def on_step_begin(self, args, state, control, **kwargs):
        assert not Path(args.output_dir, COST_FILE).exists()


def callback_of(trainer):
    return next(c for c in trainer.callback_handler.callbacks if isinstance(c, CostCallback))


def test_costs_change_nothing_in_training(make, tiny, audio, tmp_path):
    losses = []
    for number in range(2):
        trainer = make(overwrite_output_dir=True)
        if number:
            trainer.remove_callback(CostCallback)
        trainer.train()
        losses.append([log["loss"] for log in trainer.state.log_history if "loss" in log])
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_an_encoder_that_cannot_be_counted_ends_no_run(make, tmp_path, caplog):
    trainer = make()
    encoder = trainer.model.base_model
    handle = None

    class Break(TrainerCallback):
        """Makes the encoder fail after the last update."""

        def on_step_end(self, args, state, control, **kwargs):
            nonlocal handle
            if state.global_step == 4:
                handle = encoder.register_forward_pre_hook(fail)

    def fail(*inputs):
        raise RuntimeError("no more memory")

    trainer.add_callback(Break())
    trainer.train()
    handle.remove()
    cost = RunCost.read(tmp_path / "run")
    assert cost.updates == 4 and cost.forward_gflops_per_second_of_speech is None
    assert "could not be counted: no more memory" in caplog.text


def test_a_file_that_cannot_be_written_ends_no_run(make, tmp_path, caplog):
    class InTheWay(TrainerCallback):
        """Puts a folder where the file goes."""

        def on_train_begin(self, args, state, control, **kwargs):
            (tmp_path / "run" / COST_FILE / "something").mkdir(parents=True)

    trainer = make()
    trainer.add_callback(InTheWay())
    trainer.train()
    assert trainer.state.global_step == 4 and f"{COST_FILE} was not written" in caplog.text
