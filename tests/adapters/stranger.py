"""Load models with their heads in a process that has no hf_rspin; print their folders."""

import sys
from pathlib import Path


class Blocker:
    """Makes hf_rspin a package that is not installed."""

    def find_spec(self, name, *arguments):
        """Refuse it."""
        if name.split(".")[0] == "hf_rspin":
            raise ImportError("hf_rspin is not installed here")


sys.meta_path.insert(0, Blocker())

import torch  # noqa: E402
from transformers import AutoModel  # noqa: E402

for folder in map(Path, sys.argv[1:]):
    given = torch.load(folder / "given.pt")
    waveforms = given["waveforms"]
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.no_grad():
        found = model(waveforms).last_hidden_state
    torch.testing.assert_close(found, given["states"], rtol=1e-5, atol=1e-5)
    frames = found.shape[1]
    labels = torch.zeros(len(waveforms), frames, dtype=torch.long)
    has_labels = getattr(model.config, "num_pseudo_labels", None) is not None
    if getattr(model.config, "frozen_teacher", False):
        model.make_teacher()
    loss = model(waveforms, perturbed_input_values=waveforms.flip(0),
                 **({"labels": labels} if has_labels else {})).loss  # fmt: skip
    assert torch.isfinite(loss)
    sys.stdout.write(folder.name + "\n")
