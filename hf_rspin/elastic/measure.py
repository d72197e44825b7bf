"""What a subnet is worth: a probe on held-out training speakers, on features of the supernet."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import HubertModel

from hf_rspin.elastic.subnet import Subnet
from hf_rspin.elastic.supernet import running_as
from hf_rspin.evaluation.evaluate import Evaluation
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.features import PretrainedEncoderFeatures
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes import PROBES, Metric, Probe, make_probes
from hf_rspin.models.encoder import states_of_frames


@dataclass(frozen=True)
class Score:
    """A value of a metric.

    Attributes:
        value: the number.
        layer: hidden state that it is of, 0 the encoder input; None: not of a layer.
        low: of a 95 % interval, where the probe gives one.
        high: of it.
    """

    value: float
    layer: int | None = None
    low: float | None = None
    high: float | None = None


class SubnetFeatures(PretrainedEncoderFeatures):
    """Hidden states of an encoder that runs as a subnet, for any probe.

    Args:
        encoder: the full one; `running_as` the subnet whenever this is called.
        subnet: which one.
        normalize: see `PretrainedEncoderFeatures`.
        bf16: likewise.
        layer: this hidden state alone (negative: from the last); None: all.
    """

    def __init__(
        self, encoder: HubertModel, subnet: Subnet, normalize: bool = False, bf16: bool = False,
        layer: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(encoder, "subnet", normalize, bf16)
        self.subnet, self.layer, self.dim = subnet, layer, subnet.width
        self.num_layers = subnet.depth + 1 if layer is None else 1

    def _states(self, values: Tensor) -> Tensor:
        output = self.model(values, output_hidden_states=True)
        states = states_of_frames(output, self.model.config)
        chosen = states if self.layer is None else [states[self.layer]]
        return torch.stack([state[0].float() for state in chosen]).cpu()

    def fingerprint(self) -> str:
        """Hash what `PretrainedEncoderFeatures` does, and name subnet and layer."""
        return f"{super().fingerprint()} {self.subnet} {self.layer}"


class SubnetMeter:
    """Measures subnets of one supernet by one metric.

    Args:
        encoder: the full one, on the device to use; its parameters are set not to need gradients.
        metric: name of a metric (`phone_accuracy`, `pnmi`), or of a probe, whose first it is.
        test: held-out utterances.
        train: what the probe learns on.
        settings: of the probe, such as `num_updates`.
        layer: hidden state to measure (negative: from the last); None: the best of all.
        seed: of the probe.
        normalize: feed waveforms of mean 0 and variance 1.
        bf16: run under bfloat16 autocast.
        num_workers: threads.

    Raises:
        ValueError: no such metric or setting, or the corpus has not what it needs.
    """

    def __init__(
        self,
        encoder: HubertModel,
        metric: str,
        test: EvaluationSet,
        train: EvaluationSet | None,
        settings: dict[str, Any] | None = None,
        layer: int | None = None,
        seed: int = 0,
        normalize: bool = False,
        bf16: bool = False,
        num_workers: int = 1,
    ):
        self.encoder, self.test, self.train, self.layer = encoder, test, train, layer
        self.probe, self.metric = probe_of(metric, settings, seed)
        self.normalize, self.bf16, self.num_workers = normalize, bf16, num_workers
        reason = self.probe.reason_to_skip(test, train)
        if reason is not None:
            raise ValueError(f"the metric {metric} cannot be measured on this corpus: {reason}")

    def __call__(self, subnet: Subnet) -> Score:
        """Return the value of a subnet.

        Raises:
            ValueError: the probe cannot measure it.
        """
        features = SubnetFeatures(self.encoder, subnet, self.normalize, self.bf16, self.layer)
        with tempfile.TemporaryDirectory() as folder, running_as(self.encoder, subnet):
            evaluation = Evaluation(
                folder, self.test, [], [self.probe], self.train,
                num_workers=self.num_workers, progress=False,
            )  # fmt: skip
            evaluation.run(features)
            cells = evaluation.cells()
        rows = [row for cell in cells for row in cell.rows if row.metric == self.metric.name]
        if not rows:
            raise ValueError(
                f"{self.metric.name} of a subnet could not be measured: "
                f"{' '.join(evaluation.left_out) or 'the probe gives no such number.'}"
            )
        best = max if self.metric.better == "higher" else min
        row = best(rows, key=lambda row: row.value)
        layer = row.layer if self.layer is None else self.layer % (subnet.depth + 1)
        return Score(row.value, layer, row.low, row.high)

    def settings(self) -> dict[str, Any]:
        """Return what decides the values beside the subnet, JSON values."""
        return {
            "metric": self.metric.name, "probe": self.probe.name, "layer": self.layer,
            "settings": {n: str(v) for n, v in self.probe.settings().items()},
            "test": self.test.fingerprint(), "bf16": self.bf16, "normalize": self.normalize,
            "train": None if self.train is None else self.train.fingerprint(),
        }  # fmt: skip


def probe_of(name: str, settings: dict[str, Any] | None, seed: int) -> tuple[Probe, Metric]:
    """Return the probe that gives a metric, and the metric.

    Raises:
        ValueError: there is no such metric that says which way is better, or no such setting.
    """
    for probe, kind in PROBES.items():
        for metric in _ranking(kind.metrics):
            if name in (metric.name, probe):
                try:
                    made = make_probes(
                        [probe], ProbeArguments(seed=seed), None, {probe: settings or {}}
                    )
                except TypeError as error:
                    raise ValueError(f"the probe {probe} does not take this: {error}.") from error
                return made[0], metric
    known = [m.name for kind in PROBES.values() for m in _ranking(kind.metrics)]
    raise ValueError(f"got the metric {name!r}; expected one of {', '.join(dict.fromkeys(known))}.")


def _ranking(metrics: Sequence[Metric]) -> list[Metric]:
    return [metric for metric in metrics if metric.better]
