"""The same as `hf-rspin analyse`."""

from hf_rspin.commands.analyse import main

if __name__ == "__main__":
    main()
