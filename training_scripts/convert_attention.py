"""The same as `hf-rspin convert-attention`."""

from hf_rspin.commands.convert_attention import main

if __name__ == "__main__":
    main()
