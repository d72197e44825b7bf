"""Writes what a run cost into `cost.json` of its folder, over its interruptions and processes."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerState, TrainingArguments

from hf_rspin.adapters import adapted_model
from hf_rspin.cost import (
    COST_FILE,
    EnergyMeter,
    RunCost,
    forward_flops,
    peak_gpu_memory,
    peak_memory,
)
from hf_rspin.cost.energy import METHODS, OF_MACHINE, POWERCAP, weakest
from hf_rspin.losses.distributed import reduce_max_, reduce_sum_
from hf_rspin.models.folders import BUNDLED, encoder_folder
from hf_rspin.training.callbacks import ResumedCallback, RunProgress
from hf_rspin.training.run_card import describe_hardware, portable

logger = logging.getLogger(__name__)

NOTHING_YET = {
    "energy_joules": 0.0, "energy_method": METHODS[0], "device_seconds": 0.0,
    "peak_memory_bytes": 0, "peak_gpu_memory_bytes": 0,
}  # fmt: skip
NOT_MEASURED = {"energy_joules": None, "energy_method": "none"}  # by an earlier version


class CostCallback(ResumedCallback):
    """Measures energy and memory while a run trains; see `hf_rspin.cost.RunCost`.

    Processes bring their numbers together at every log. The first of them writes the file at every
    checkpoint and at the end, where the operations of the encoder are counted too. A file that
    cannot be written, or an encoder that cannot be counted, is only told.

    Args:
        progress: hours and duration of the run; restored before this is.

    Attributes:
        totals: of the run as of the last log, with the parts before.
        powercap: where the energy of a processor is read, see `EnergyMeter`.
    """

    powercap: str | Path = POWERCAP

    def __init__(self, progress: RunProgress):
        self.progress = progress
        self._meter: EnergyMeter | None = None
        self.begin()

    def begin(self) -> None:
        """Forget an earlier run of the same trainer."""
        self.totals = self._before = dict(NOTHING_YET)

    def attributes(self) -> dict[str, Any]:
        """Return the totals."""
        return self.totals

    def restore(self, attributes: dict[str, Any]) -> None:
        """Go on from the totals of a checkpoint."""
        known = {"device_seconds": self.progress.seconds_before, **NOT_MEASURED, **attributes}
        self.totals = self._before = {**NOTHING_YET, **known}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control, **kwargs
    ) -> None:
        """Start measuring; what an earlier run of the folder cost goes."""
        if state.is_world_process_zero and state.global_step == 0:
            (Path(args.output_dir) / COST_FILE).unlink(missing_ok=True)
        if self._meter is not None:  # of a run that failed
            self._meter.stop()
        self._meter = EnergyMeter(args.device, self.powercap).start()

    def on_log(
        self, args: TrainingArguments, state, control, logs: dict | None = None, **kwargs
    ) -> None:
        """Bring the processes together, at the logs that all of them write."""
        if self._meter is not None and not {"loss", "train_runtime"}.isdisjoint(logs or {}):
            self._gather(args)

    def on_step_end(self, args: TrainingArguments, state, control, **kwargs) -> None:
        """Bring the processes together before a checkpoint keeps the totals."""
        if self._meter is not None and control.should_save:
            self._gather(args)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control, model=None, **kwargs
    ) -> None:
        """Write what the run cost so far."""
        if state.is_world_process_zero:
            self._write(args, state, model, None)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control, model=None, **kwargs
    ) -> None:
        """Stop measuring, count the operations, and write."""
        self._meter.stop()
        self._meter = None
        if state.is_world_process_zero:
            self._write(args, state, model, _gflops(adapted_model(model).base_model))

    def _gather(self, args: TrainingArguments) -> None:
        joules, method = self._meter.read()
        if method in OF_MACHINE and args.local_process_index > 0:
            joules = 0.0  # the first process of the machine counts them
        joules, device_seconds = self._sum_over_ranks(
            args, joules, self.progress.wall_seconds - self.progress.seconds_before
        )
        peaks = peak_memory() or 0, peak_gpu_memory(args.device) or 0
        place = args.device if args.device.type == "cuda" else "cpu"
        found = torch.tensor([METHODS.index(method), *peaks], dtype=torch.double, device=place)
        worst, *peaks = (int(value) for value in reduce_max_(found).tolist())
        before = self._before
        known = joules is not None and before["energy_joules"] is not None
        self.totals = {
            "energy_joules": before["energy_joules"] + joules if known else None,
            "energy_method": weakest(before["energy_method"], METHODS[worst]),
            "device_seconds": before["device_seconds"] + device_seconds,
            "peak_memory_bytes": max(before["peak_memory_bytes"], peaks[0]),
            "peak_gpu_memory_bytes": max(before["peak_gpu_memory_bytes"], peaks[1]),
        }

    def _sum_over_ranks(
        self, args: TrainingArguments, *values: float | None
    ) -> list[float | None]:
        """Return sums over processes; None where one of them does not know."""
        place = args.device if args.device.type == "cuda" else "cpu"
        known = [math.nan if value is None else value for value in values]
        sums = reduce_sum_(torch.tensor(known, dtype=torch.double, device=place)).tolist()
        return [None if math.isnan(value) else value for value in sums]

    def _write(
        self,
        args: TrainingArguments,
        state: TrainerState,
        model: PreTrainedModel,
        gflops: float | None,
    ) -> None:
        cost = RunCost(
            processed_hours=self.progress.totals.get("seconds", 0.0) / 3600,
            updates=state.global_step,
            wall_seconds=self.progress.wall_seconds,
            device=describe_hardware(args.device, args.world_size),
            device_type=args.device.type,
            num_processes=args.world_size,
            forward_gflops_per_second_of_speech=gflops,
            init=_init(adapted_model(model)),
            **{name: value or None if "peak" in name else value
               for name, value in self.totals.items()},
        )  # fmt: skip
        try:
            cost.write(args.output_dir)
        except OSError as error:
            logger.warning("%s was not written: %s.", COST_FILE, error)


def _gflops(encoder: PreTrainedModel) -> float | None:
    try:
        return forward_flops(encoder) / 1e9
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        logger.warning("The operations of the encoder could not be counted: %s.", error)
        return None


def _init(model: PreTrainedModel) -> str | None:
    """Name what the model was loaded from, no place on this machine; None: made from a config."""
    name = model.name_or_path
    return BUNDLED if name == str(encoder_folder()) else portable(name) or None
