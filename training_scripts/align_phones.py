"""The same as `hf-rspin align`."""

from hf_rspin.commands.align import main

if __name__ == "__main__":
    main()
