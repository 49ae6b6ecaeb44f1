"""Compiling parts of the model: names of compilations enter, options of `torch.compile` leave.

Modules are compiled in place, so that their parameters keep their names, and for static shapes: all
images of a run have one size.
"""

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


def compile_in_place(network: nn.Module, name: str) -> None:
    """Compiles a network at its first call with inputs of a size."""
    network.compile(**compile_options(name))
