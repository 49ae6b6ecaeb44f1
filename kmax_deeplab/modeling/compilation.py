"""Compiling parts of the model: names of compilations enter, options of `torch.compile` leave.

Modules are compiled in place, so that their parameters keep their names, and for static shapes: all
images of a run have one size.
"""

import importlib.util
import os
import shutil

from torch import nn

COMPILATIONS = {
    "inductor": {},
    "reduce-overhead": {"mode": "reduce-overhead"},
    "max-autotune": {"mode": "max-autotune-no-cudagraphs"},
    "aot_eager": {"backend": "aot_eager"},
}
"""Options of `torch.compile` by name."""


def compile_options(name: str) -> dict[str, object]:
    """Returns the options of a compilation.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in COMPILATIONS:
        raise ValueError(f"unknown compilation {name!r}; choose from {list(COMPILATIONS)}")
    return {"dynamic": False, **COMPILATIONS[name]}


def missing_to_compile() -> str | None:
    """Names what "inductor" needs on a GPU and this machine lacks; None: nothing."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton"
    compilers = filter(None, (os.environ.get("CC"), "gcc", "clang", "cc"))
    return None if any(map(shutil.which, compilers)) else "a C compiler (gcc)"


def compile_in_place(network: nn.Module, name: str) -> None:
    """Compiles a network at its first call with inputs of a size."""
    network.compile(**compile_options(name))
