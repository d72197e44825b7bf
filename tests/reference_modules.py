"""The modules that the pages of the API reference show."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def modules_of_reference():
    """Return the names of the modules, in the order of the pages."""
    pages = sorted((DOCS / "reference").glob("*.md"))
    return [
        name for page in pages
        for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]  # fmt: skip
