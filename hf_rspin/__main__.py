"""`python -m hf_rspin` is `hf-rspin`; so several GPUs run it: `torchrun -m hf_rspin train ...`."""

from hf_rspin.commands.console import main

if __name__ == "__main__":
    main()
