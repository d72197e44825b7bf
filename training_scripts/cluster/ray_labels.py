"""Label a corpus with Ray Data: the units of each utterance into parquet files.

    pip install ray[data]
    python ray_labels.py SPEECH_FOLDER OUTPUT_FOLDER [MODEL] [ACTORS]
"""

import sys

import numpy as np
import ray

from hf_rspin import UnitTokenizer, load_corpus


class Label:
    """Holds the model; each actor makes one."""

    def __init__(self, model: str) -> None:
        self.tokenizer = UnitTokenizer.from_pretrained(model, device="cuda" if GPU else "cpu")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list]:
        """Return id and units (frames,) of each utterance that can be read."""
        found = self.tokenizer(list(batch["path"]), strict=False)
        kept = [
            (key, one.frame_ids.tolist())
            for key, one in zip(batch["id"], found, strict=True)
            if one is not None
        ]
        return {"id": [key for key, _ in kept], "units": [units for _, units in kept]}


if __name__ == "__main__":
    speech, output, model, actors = [*sys.argv[1:], "runs/spin", "2"][:4]
    ray.init(runtime_env={"env_vars": {"HF_HUB_OFFLINE": "1"}})
    GPU = ray.cluster_resources().get("GPU", 0) > 0
    corpus = load_corpus(speech)
    rows = [{"id": row["id"], "path": row["audio"]["path"]} for row in corpus]
    ray.data.from_items(rows).map_batches(
        Label, fn_constructor_args=(model,), batch_size=32, compute=ray.data.ActorPoolStrategy(
            size=int(actors)), num_gpus=1 if GPU else 0,
    ).write_parquet(output)  # fmt: skip
