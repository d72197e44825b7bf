"""The same as `hf-rspin train`."""

from hf_rspin.commands.train import main

if __name__ == "__main__":
    main()
