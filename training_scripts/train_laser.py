"""Train LASER or SCORE: the second view at another speed and pitch, aligned by soft-DTW.

    python training_scripts/train_laser.py training_scripts/configs/laser_hubert_base.yaml \\
        --output_dir runs/laser

The same as `train.py --objective laser`. Stopped or killed at any moment, the same command
goes on where it stopped. Several GPUs: start it with `torchrun --nproc_per_node N`.
"""

from functools import partial

from train import main as train

main = partial(train, "laser")

if __name__ == "__main__":
    main()
