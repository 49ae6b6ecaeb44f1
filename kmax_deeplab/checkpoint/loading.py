"""Fills a model from a state dict of any known source: completely, or not at all.

A whole model must fit entirely, but for the parts to begin anew; a backbone must fill the model's
whole backbone. The auxiliary semantic head, which only training uses, may be missing where a model
is to be complete to predict.
"""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from kmax_deeplab.checkpoint.fit import Fit, compare, size
from kmax_deeplab.checkpoint.parts import KEY, SEMANTIC, check_parts, part_of, without
from kmax_deeplab.checkpoint.sources import BACKBONE, Weights, translate

State = dict[str, Tensor]


def load_weights(
    model: nn.Module,
    state: State,
    *,
    origin: str,
    reinitialize: Sequence[str] = (),
    complete: bool = False,
) -> str:
    """Loads a state dict into a model.

    Args:
        model: to fill.
        state: {name: tensor} as read from a file.
        origin: the file, for messages.
        reinitialize: `PARTS` that keep their initial values whatever the file holds.
        complete: whether a backbone alone is refused.

    Returns:
        a sentence that says what was loaded and what was not.

    Raises:
        ValueError: the state dict does not fit, and nothing was loaded; with a table and a remedy.
    """
    check_parts(reinitialize)
    weights = translate(state, getattr(model, "backbone", None))
    everything = weights.whole or complete
    here = {k: v for k, v in model.state_dict().items() if everything or k.startswith(BACKBONE)}
    lacks_semantic = complete and _has_semantic(here) and not _has_semantic(weights.state)
    if lacks_semantic:
        here = {name: value for name, value in here.items() if not re.search(SEMANTIC, name)}
    found, wanted = without(reinitialize, weights.state), without(reinitialize, here)
    fit = compare(found, wanted)
    if fit.rows:
        raise ValueError(
            f"{origin} ({weights.title}) does not fit this model: {len(fit.missing)} entries are "
            f"missing, {len(fit.unexpected)} unexpected, {len(fit.mismatched)} of another shape, "
            f"of {len(wanted)}.\n{fit.table()}\n{_remedy(weights, fit, complete=complete)}"
        )
    require_finite(found, f"{origin} cannot be used")
    model.load_state_dict(found, strict=False)
    renewed = [name for name in here if name not in wanted]
    notes = _notes(weights, reinitialize, renewed)
    if lacks_semantic:
        notes.append("it lacks the auxiliary semantic head, which only training needs")
    return "; ".join([_describe(origin, weights, wanted), *notes])


def require_finite(state: State, consequence: str) -> None:
    """Refuses weights with NaN or infinite values; one look at the device for all of them.

    Args:
        state: {name: tensor}.
        consequence: what the refusal means, the beginning of the message.

    Raises:
        ValueError: naming the first entries.
    """
    floats = {name: value for name, value in state.items() if value.is_floating_point()}
    by_device: dict[torch.device, list[str]] = {}
    for name, value in floats.items():
        by_device.setdefault(value.device, []).append(name)
    broken = [
        name
        for names in by_device.values()
        for name, is_finite in zip(
            names, torch.stack([floats[n].isfinite().all() for n in names]).tolist(), strict=True
        )
        if not is_finite
    ]
    if broken:
        raise ValueError(
            f"{consequence}: {len(broken)} of {len(floats)} entries hold values that are not "
            f"finite (NaN, inf): {_first(broken, 3)}"
        )


def _remedy(weights: Weights, fit: Fit, *, complete: bool) -> str:
    if complete and not weights.whole:
        return "A backbone alone can only begin a training."
    parts = {part_of(name) for name, *_ in fit.rows}
    if complete or None in parts:
        return "Use the config that it was trained with."
    return f'To begin these parts anew and load all others, add {KEY} "{sorted(parts)}"'


def _describe(origin: str, weights: Weights, wanted: State) -> str:
    loaded = {name: value for name, value in wanted.items() if name in weights.state}
    return (
        f"{origin} ({weights.title}): loaded {len(loaded)} of {len(wanted)} entries, "
        f"{size(loaded):,} of {size(wanted):,} parameters and statistics, of the "
        f"{'model' if weights.whole else 'backbone'}"
    )


def _notes(weights: Weights, parts: Sequence[str], renewed: list[str]) -> list[str]:
    notes = []
    if weights.unused:
        notes.append(f"not needed: {_first(weights.unused)}")
    if renewed:
        notes.append(f"re-initialised by {KEY} {list(parts)}: {_first(renewed)}")
    return notes


def _has_semantic(names: Iterable[str]) -> bool:
    return any(re.search(SEMANTIC, name) for name in names)


def _first(names: list[str], limit: int = 8) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
