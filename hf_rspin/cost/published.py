"""Table 5 of R-Spin (arXiv 2311.09117), as it is printed: costs of models with 95M parameters."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "R-Spin paper (arXiv 2311.09117), Table 5"
CLEAN, NOISY = "Pre-training (clean speech)", "Pre-training (noisy speech)"
DOMAIN, OWN = "Domain-specific self-supervision", "R-Spin paper"


@dataclass(frozen=True)
class PublishedCost:
    """A row of the table; None where the paper leaves a blank.

    Attributes:
        group: heading of the rows.
        model: its name.
        init: what it started from; None: nothing.
        updates: of the weights, of all iterations.
        batch_minutes: of speech per update.
        processed_hours: of speech, without augmented copies.
        num_gpus: at once.
        gpu_hours: roughly, as the paper says.
        is_open: whether the model can be had.
        remark: what is wrong with the row.
    """

    group: str
    model: str
    init: str | None
    updates: int
    batch_minutes: float | None
    processed_hours: float | None
    num_gpus: int | None
    gpu_hours: float | None
    is_open: str
    remark: str | None = None


PUBLISHED = (
    PublishedCost(CLEAN, "wav2vec 2.0", None, 400_000, 96, 640_000, 64, 2458, "yes"),
    PublishedCost(CLEAN, "HuBERT", None, 650_000, 47, 505_000, 32, 1976, "yes"),
    PublishedCost(CLEAN, "data2vec", None, 400_000, 63, 420_000, 16, None, "yes"),
    PublishedCost(CLEAN, "DinoSR", None, 400_000, 63, 420_000, 16, 2880, "yes"),
    PublishedCost(
        NOISY, "WavLM", None, 650_000, 187, 1_439_000, 32, None, "yes",
        "updates times batch would be 2026k hours",
    ),
    PublishedCost(NOISY, "wav2vec-Switch", None, 400_000, 96, 640_000, 32, None, "no"),
    PublishedCost(NOISY, "SPiRAL", None, 200_000, 100, 333_000, 16, 499, "yes"),
    PublishedCost(DOMAIN, "ContentVec", "HuBERT", 100_000, 46, 76_000, 36, 684, "yes"),
    PublishedCost(DOMAIN, "HuBERT-MGR", "HuBERT", 400_000, 12, 78_000, 8, 768, "yes"),
    PublishedCost(DOMAIN, "Robust data2vec", "data2vec", 100_000, 63, 105_000, 16, None, "yes"),
    PublishedCost(DOMAIN, "deHuBERT", "HuBERT", 250_000, None, None, None, None, "no"),
    PublishedCost(
        DOMAIN, "Spin 2048", "HuBERT", 5_000, 43, 400, 1, 1, "yes",
        "0.4k hours in 5k updates are 4.3 minutes each",
    ),
    PublishedCost(
        OWN, "Robust data2vec (low budget)", "data2vec", 100_000, 6.3, 10_400, 2, 44, "announced"
    ),
    PublishedCost(OWN, "Spin 2048 (for AP40k)", "HuBERT", 10_000, 43, 7_100, 2, 8, "announced"),
    PublishedCost(OWN, "R-Spin 32, AP40k", "HuBERT", 10_000, 6.4, 1_100, 2, 16, "announced"),
)  # fmt: skip
