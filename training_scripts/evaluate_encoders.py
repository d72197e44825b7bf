"""The former name of evaluate.py."""

import runpy
from pathlib import Path


def main() -> None:
    """Run evaluate.py with the same options."""
    runpy.run_path(str(Path(__file__).with_name("evaluate.py")), run_name="__main__")


if __name__ == "__main__":
    main()
