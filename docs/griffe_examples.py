"""Shows what stands below "Example:" in a docstring as code, as is done for "Examples:"."""

import re

import griffe


class ExamplesAsCode(griffe.Extension):
    """Renames the section before it is parsed."""

    def on_object(self, *, obj, **_):
        """Change the docstring of a module, class or function."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
