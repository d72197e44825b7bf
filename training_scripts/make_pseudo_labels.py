"""The same as `hf-rspin labels`."""

from hf_rspin.commands.labels import main

if __name__ == "__main__":
    main()
