"""Weights in and out: files, whose they are, their names in ours, and whether they fit.

`files` reads and writes, `sources` recognises and translates, `fit` fills a model or refuses.
`KMaXCheckpointer` is handed out here by its public name; it lives at the edge.
"""

from importlib import import_module

__all__ = ["KMaXCheckpointer"]


def __getattr__(name: str) -> object:
    if name != "KMaXCheckpointer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("kmax_deeplab.d2.engine.checkpointer"), name)
