"""Pre-train a small HuBERT from scratch: one iteration per call.

    python training_scripts/pretrain_hubert.py \\
        training_scripts/configs/pretrain_hubert_small_1.yaml --corpora speech more_speech

The same as `train.py --objective masked_prediction`. Stopped or killed at any moment, the same
command goes on where it stopped. Several GPUs: start it with `torchrun --nproc_per_node N`.
"""

from functools import partial

from train import main as train

main = partial(train, "masked_prediction")

if __name__ == "__main__":
    main()
