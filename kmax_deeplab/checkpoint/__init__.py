"""Weights in and out: files, whose they are, their names in ours, and whether they fit.

`files` reads and writes, `identity` is what a file says of its model, `sources` recognises and
translates, `loading` fills a model or refuses. `KMaXCheckpointer` is imported when it is asked for:
it needs fvcore, which using a model does not.
"""

from importlib import import_module

__all__ = ["KMaXCheckpointer"]


def __getattr__(name: str) -> object:
    if name != "KMaXCheckpointer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("kmax_deeplab.checkpoint.checkpointer"), name)
