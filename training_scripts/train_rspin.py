"""Train R-Spin: both views noisy, the second in another voice, pseudo-labels beside the codes.

    python training_scripts/train_rspin.py \\
        training_scripts/configs/rspin_wavlm_base_32_ap40k.yaml \\
        --noise musan_folder --pseudo_labels runs/labels/pieces --output_dir runs/rspin

The same as `train.py --objective rspin`. Stopped or killed at any moment, the same command
goes on where it stopped. Several GPUs: start it with `torchrun --nproc_per_node N`.
"""

from functools import partial

from train import main as train

main = partial(train, "rspin")

if __name__ == "__main__":
    main()
