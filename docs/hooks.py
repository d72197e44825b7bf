"""What mkdocs does beside its plugins: equations become MathML, notebooks become pages.

MathML is drawn by the browser itself, so that no script of another host is needed. A notebook is
shown with its results where `make docs` ran it (`build/notebooks`), else without.
"""

import html
import json
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
EXECUTED = ROOT / "build" / "notebooks"
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
DISPLAYED = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_content(content, **_):
    """Replace the equations of a page by MathML."""
    content = DISPLAYED.sub(lambda found: f'<div class="equation">{mathml(found, "block")}</div>',
                            content)  # fmt: skip
    return INLINE.sub(lambda found: mathml(found, "inline"), content)


def mathml(found, display):
    """Return the MathML of a LaTeX equation that Markdown has escaped."""
    return convert(html.unescape(found[1]).strip(), display=display)


def on_files(files, config):
    """Add a page for every notebook."""
    for source in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        executed = EXECUTED / source.name
        notebook = json.loads((executed if executed.is_file() else source).read_text("utf-8"))
        page = "\n\n".join(map(markdown_of_cell, notebook["cells"]))
        note = f"[Download this notebook]({source.name})"
        if not executed.is_file():
            note += " (shown without its results: `make docs` runs it)"
        title, _, rest = page.partition("\n\n")
        content = f"{title}\n\n{note}.\n\n{rest}\n"
        name = f"notebooks/{source.stem}.md"
        files.append(File.generated(config, name, content=content))
    return files


def markdown_of_cell(cell):
    """Return the Markdown of one cell and of what it printed or drew."""
    text = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return text
    shown = "\n\n".join(filter(None, map(markdown_of_output, cell["outputs"])))
    shown = shown.replace("\n```\n\n```text\n", "\n")  # printed one after the other
    if shown:
        shown = f'<div class="notebook-output" markdown>\n\n{shown}\n\n</div>'
    return f"```python\n{text}\n```\n\n{shown}"


def markdown_of_output(output):
    """Return the Markdown of an image, a table or text; nothing of progress bars."""
    if output["output_type"] == "stream":
        text = "".join(output["text"]).rstrip("\n")
        return f"```text\n{text}\n```" if output["name"] == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="plot" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/markdown" in data:
        return "".join(data["text/markdown"])
    return f"```text\n{''.join(data['text/plain'])}\n```" if "text/plain" in data else ""
