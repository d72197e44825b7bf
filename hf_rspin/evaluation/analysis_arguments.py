"""What `hf-rspin analyse` asks for: layer by layer, labels, costs."""

from __future__ import annotations

from dataclasses import dataclass

from hf_rspin.evaluation.arguments import USUAL_PROBES, EvaluationScriptArguments
from hf_rspin.utils import option

# what is asked for -> the probe that measures it
WHAT = {
    "cka": "cka",
    "sid": "sid",
    "units": "units",
    "voice": "voice",
    "segmentation": "segmentation",
    "pwcca": "pwcca",
    "mi": "mi",
    "sts": "sts",
    "tsne": "tsne",
    "weights": "pr",
    "alignment": "geometry",
}
COST = "cost"
USUAL = ["cka", "sid", "units", "segmentation", "pwcca", "mi", "tsne", "alignment"]


@dataclass
class AnalysisArguments(EvaluationScriptArguments):
    """What to analyse; conditions and corpus as for an evaluation."""

    probes: list[str] = option(USUAL_PROBES, "of `evaluate`: give --what here", rare=True)
    what: list[str] = option(USUAL, f"some of {', '.join([*WHAT, COST])}")
    labels: list[str] = option([], "frame labels (units/ or pieces/) to compare with phones")
    runs: list[str] = option([], "folders of training runs, for --what cost")
    sts: str | None = option(
        None, "folder of spoken sentence pairs: columns pair, sentence, speaker, score"
    )
    embeddings: str | None = option(None, "table of word vectors, for pwcca")
    protocol: str = option("published", "of pwcca: published (3 splits) or full (10)", rare=True)
    tolerance: float = option(0.02, "seconds between boundaries that are the same one", rare=True)
    matcher: str = option("one_to_one", "of boundaries: one_to_one or lenient", rare=True)
    layer: int = option(-1, "of tsne", rare=True)
    output_dir: str = option("runs/analysis", "for results and report")
