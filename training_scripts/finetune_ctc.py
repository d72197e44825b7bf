"""Fine-tune an encoder with CTC on transcribed speech: words, characters or phones.

    python training_scripts/finetune_ctc.py training_scripts/configs/ctc_small.yaml \\
        --encoder runs/rspin --corpus speech --output_dir runs/ctc

The same as `train.py --objective ctc`. Stopped or killed at any moment, the same command
goes on where it stopped. Several GPUs: start it with `torchrun --nproc_per_node N`.
"""

from functools import partial

from train import main as train

main = partial(train, "ctc")

if __name__ == "__main__":
    main()
