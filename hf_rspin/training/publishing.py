"""A Trainer whose folders are complete: with them comes the model card of the run so far."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import Trainer
from transformers.trainer_utils import TrainOutput

from hf_rspin.adapters import adapted_model
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.publishing import save_companions
from hf_rspin.publishing.card_file import CARD
from hf_rspin.publishing.model_card import CardFacts
from hf_rspin.publishing.upload import upload
from hf_rspin.training.card_facts import facts_of_run


class PublishingTrainer(Trainer):
    """Measures how long a run takes, over interruptions, and gives its models their facts.

    Attributes:
        run_arguments: dataclasses with the settings of the run beside `args`.
        card_facts: what else the card should say, such as licence, language or evaluations.
        seconds_before: duration of the run before it was resumed.
    """

    run_arguments: tuple[Any, ...] = ()
    card_facts: CardFacts | None = None
    seconds_before: float = 0.0
    _started: float | None = None

    @property
    def wall_seconds(self) -> float:
        """Duration of the run so far, without the time that it lay interrupted."""
        running = 0.0 if self._started is None else time.monotonic() - self._started
        return self.seconds_before + running

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train as `Trainer` does, by the clock."""
        self._started = time.monotonic()
        try:
            return super().train(*args, **kwargs)
        finally:
            self.seconds_before, self._started = self.wall_seconds, None

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the card is saved with the model."""

    def push_to_hub(
        self,
        commit_message: str = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> str | None:
        """Save the model and upload it in one commit, from the first process.

        Args:
            commit_message: title of the commit.
            blocking: not used; the upload is over when this returns.
            token: with write access; default `args.hub_token`.
            revision: branch; default `args.hub_revision`.
            private: of a new repository; default `args.hub_private_repo`.
            **kwargs: not used; `card_facts` has what the card says.

        Returns:
            The address of the commit.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        return upload(
            self.args.output_dir,
            self.hub_model_id or self.args.hub_model_id or Path(self.args.output_dir).name,
            private=self.args.hub_private_repo if private is None else private,
            token=token or self.args.hub_token,
            commit_message=commit_message,
            revision=revision or self.args.hub_revision,
        )

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        card, facts = folder / CARD, facts_of_run(self)
        before = card.read_bytes() if card.is_file() else None
        model = adapted_model(self.model)
        is_ours = isinstance(model, EncoderWithHeads)
        if is_ours:
            model.card_facts = facts
        super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        if isinstance(self.model, PeftModel):
            # peft has written its template, or into the card that was there
            card.unlink(missing_ok=True)
            if before is not None:
                card.write_bytes(before)
            kind = str(self.model.peft_config[self.model.active_adapter].peft_type).split(".")[-1]
            facts = replace(facts, adapter=kind.lower())
            model.config.architectures = [type(model).__name__]
        elif is_ours:
            return  # has written its card
        save_companions(folder, model.config, model.acoustic_pieces if is_ours else None, facts)
