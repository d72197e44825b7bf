"""Put SummaryMixing in place of the attention of a HuBERT; what results is to be trained.

    python training_scripts/convert_attention.py bundled runs/mixing --mixing full
    python training_scripts/train.py --objective distill \\
        training_scripts/configs/distill_summary_mixing_small.yaml \\
        --teacher bundled --student runs/mixing --corpora speech_folder

The mixing begins anew, everything else stays as it was; the second command distils the original
into it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hf_rspin import convert_attention, load_encoder
from hf_rspin.models.backbones.summary_mixing import MIXINGS
from hf_rspin.models.encoder import default_feature_extractor
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.training.cli import exit_on_user_error
from hf_rspin.whole_folders import check_new_folder, whole_folder


def main() -> None:
    """Convert, and say what was made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "encoder", metavar="ENCODER", help="folder or Hub id of a HuBERT, or bundled"
    )
    parser.add_argument("output", metavar="FOLDER", help="folder to make; may exist if it is empty")
    parser.add_argument("--mixing", choices=MIXINGS, default="full", help="default: full")
    parser.add_argument(
        "--heads", type=int, default=1, metavar="N",
        help="groups of channels in the networks of the mixing; default: 1",
    )  # fmt: skip
    parser.add_argument(
        "--dropout", type=float, default=0.1, metavar="P",
        help="on what the mixing combines; default: 0.1",
    )  # fmt: skip
    arguments = parser.parse_args()
    with exit_on_user_error():
        check_new_folder(arguments.output, "the converted model")
        place = resolve_encoder(arguments.encoder)
        encoder = load_encoder(place)
        model = convert_attention(encoder, arguments.mixing, arguments.heads, arguments.dropout)
        extractor = default_feature_extractor(model.config)
        extractor.do_normalize = wants_normalized(place, encoder.config)
        with whole_folder(Path(arguments.output), "config.json", "model") as folder:
            model.save_pretrained(folder)
            extractor.save_pretrained(folder)
    before, after = encoder.num_parameters() / 1e6, model.num_parameters() / 1e6
    print(f"{arguments.output}: {before:.2f}M parameters became {after:.2f}M, to be trained.")


if __name__ == "__main__":
    main()
