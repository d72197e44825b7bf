"""Train Spin: the second view in another voice, the top layers give both the same code.

    python training_scripts/train_spin.py training_scripts/configs/spin_hubert_base_2048.yaml \\
        --output_dir runs/spin

The same as `train.py --objective spin`. Stopped or killed at any moment, the same command
goes on where it stopped. Several GPUs: start it with `torchrun --nproc_per_node N`.
"""

from functools import partial

from train import main as train

main = partial(train, "spin")

if __name__ == "__main__":
    main()
