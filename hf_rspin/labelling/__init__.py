"""Pseudo-labels of a corpus: units of every frame, then acoustic pieces on top of them."""

from hf_rspin.lazy import import_later

_MODULE_OF = {"PseudoLabelArguments": "arguments", "make_pseudo_labels": "run"}

__all__ = sorted(_MODULE_OF)
__getattr__ = import_later(__name__, _MODULE_OF)
