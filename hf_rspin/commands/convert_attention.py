"""Put SummaryMixing in place of the attention of a HuBERT; what results is to be trained.

    hf-rspin convert-attention bundled runs/mixing --mixing full
    hf-rspin distill \\
        distill_summary_mixing_small.yaml \\
        --teacher bundled --student runs/mixing --corpora speech_folder

The mixing begins anew, everything else stays as it was; the second command distils the original
into it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hf_rspin.training.cli import exit_on_user_error


def main(arguments: list[str] | None = None) -> None:
    """Convert, and say what was made."""
    parser = argparse.ArgumentParser(
        prog="hf-rspin convert-attention", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "encoder", metavar="ENCODER", help="folder or Hub id of a HuBERT, or bundled"
    )
    parser.add_argument("output", metavar="FOLDER", help="folder to make; may exist if it is empty")
    parser.add_argument("--mixing", choices=("full", "lite"), default="full", help="default: full")
    parser.add_argument(
        "--heads", type=int, default=1, metavar="N",
        help="groups of channels in the networks of the mixing; default: 1",
    )  # fmt: skip
    parser.add_argument(
        "--dropout", type=float, default=0.1, metavar="P",
        help="on what the mixing combines; default: 0.1",
    )  # fmt: skip
    given = parser.parse_args(arguments)

    from hf_rspin import convert_attention, load_encoder
    from hf_rspin.models.encoder import default_feature_extractor
    from hf_rspin.models.folders import resolve_encoder, wants_normalized
    from hf_rspin.whole_folders import check_new_folder, whole_folder

    with exit_on_user_error():
        check_new_folder(given.output, "the converted model")
        place = resolve_encoder(given.encoder)
        encoder = load_encoder(place)
        model = convert_attention(encoder, given.mixing, given.heads, given.dropout)
        extractor = default_feature_extractor(model.config)
        extractor.do_normalize = wants_normalized(place, encoder.config)
        with whole_folder(Path(given.output), "config.json", "model") as folder:
            model.save_pretrained(folder)
            extractor.save_pretrained(folder)
    before, after = encoder.num_parameters() / 1e6, model.num_parameters() / 1e6
    print(f"{given.output}: {before:.2f}M parameters became {after:.2f}M, to be trained.")
