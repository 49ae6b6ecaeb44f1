"""What a config should say: a profile and a machine enter, keys with values and reasons leave.

Every rule is here or in `sight`. Values that the base already has are not repeated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kmax_deeplab.command import OURS
from kmax_deeplab.d2.suggest.machine import RELEASED, SMALL_BACKBONES, Machine
from kmax_deeplab.d2.suggest.sight import Sight, choose_sight, describe_small
from kmax_deeplab.data.check.profile import Profile

CONFIGS = OURS / "configs" / "custom"
TRIAL = CONFIGS / "kmax_trial_on_cpu.yaml"
EARNEST = CONFIGS / "panoptic_segmentation" / "kmax_r50.yaml"
QUERIES = "MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES"
RATE = "SOLVER.BASE_LR"
ITERATIONS, WARMUP = "SOLVER.MAX_ITER", "SOLVER.WARMUP_ITERS"
SIDES_ON_CPU = (257, 193)
"""Greatest sides of the input in pixels; the next is for times that allow few iterations."""
SIDES_ON_GPU = (385, 1281)
"""Least and greatest side of the input in pixels."""
TILE_INPUT_ON_GPU = 641
CPU_BATCH, RATE_SCRATCH, RATE_PRETRAINED = 4, 0.02, 0.01
"""Of configs/shapes/kmax_convnext_demo.yaml and configs/nuclei/kmax_efficientnet_lite0.yaml."""
MEMORY_STATE, MEMORY_PER_IMAGE = 1.0, 4.0
"""GiB of R50's state, and of an image of 1281 x 1281 (docs/performance.md, "Recipes")."""
MEMORY_USED = 0.8
RELEASED_SIDE, RELEASED_QUERIES = 1281, 128
MOST_BATCH = 16
RATE_PER_IMAGE = 0.0001 / 8
"""Of configs/_base_/custom.yaml."""
FEW_IMAGES = 100
EPOCHS, LEAST_ITERATIONS, MOST_ITERATIONS = 60, 1000, 10000
WINDOW_RANGE, WIDE_RANGE, WHOLE_RANGE = (0.7, 1.4), (0.5, 2.0), (0.8, 1.6)
"""Factors on the scale of evaluation from which training draws."""
COPY_PASTE = 0.3
LEAST_PERIOD = 100
"""Iterations between two checkpoints."""


@dataclass(frozen=True)
class Choice:
    """A value of a config, and why it is that."""

    key: str
    value: object
    reason: str


@dataclass(frozen=True)
class Plan:
    """A config.

    Attributes:
        base: path of the config that it builds upon.
        choices: what it says otherwise.
    """

    base: Path
    choices: list[Choice]

    def value(self, key: str) -> object:
        """Returns what a key is set to.

        Raises:
            KeyError: the plan leaves it as it is.
        """
        return {choice.key: choice.value for choice in self.choices}[key]

    def changed(self, choices: Sequence[Choice]) -> "Plan":
        """Returns a plan with other choices for these keys, which come last."""
        keys = {choice.key for choice in choices}
        kept = [choice for choice in self.choices if choice.key not in keys]
        return replace(self, choices=[*kept, *choices])


def plan(
    profile: Profile, machine: Machine, most: int = SIDES_ON_CPU[0], *, has_up: bool = True
) -> Plan:
    """Proposes a config.

    Args:
        profile: of the images to train on.
        machine: that trains.
        most: greatest side of the input on a CPU, in pixels.
        has_up: whether images have an up and a down; False mirrors them top to bottom as well.
    """
    choices = _on_gpu(profile, machine) if machine.gpu else _on_cpu(profile, machine, most)
    if not has_up:
        reason = "the images have no up and down (--no-up)"
        choices.append(Choice("INPUT.RANDOM_FLIP", "both", reason))
    return Plan(EARNEST if machine.gpu else TRIAL, choices)


def schedule(iterations: int, reason: str, checkpoints: int = 5) -> list[Choice]:
    """Proposes the keys that follow from a number of iterations."""
    return [
        Choice(ITERATIONS, iterations, reason),
        Choice(WARMUP, max(min(iterations // 20, 500), 1), "a twentieth of them"),
        Choice(
            "SOLVER.CHECKPOINT_PERIOD",
            max(iterations // checkpoints, LEAST_PERIOD),
            "where a run that was killed goes on (--resume)",
        ),
    ]


def _on_cpu(profile: Profile, machine: Machine, most: int) -> list[Choice]:
    sight = choose_sight(profile, min(SIDES_ON_CPU), most)
    rate = RATE_PRETRAINED if machine.weights else RATE_SCRATCH
    start = "of weights that know images" if machine.weights else "that learns from scratch"
    return [
        *_small_backbone(machine.weights),
        *_queries(sight),
        *_sizes(sight, profile),
        *_scales(sight, profile),
        Choice("INPUT.COPY_PASTE", COPY_PASTE, "segments of other images are pasted on some"),
        Choice("SOLVER.IMS_PER_BATCH", CPU_BATCH, "more iterations do more good than more images"),
        Choice(RATE, rate, f"what served a small network {start}"),
    ]


def _small_backbone(weights: str) -> Iterator[Choice]:
    if not weights:
        places = "where KMAX_WEIGHTS points or in the hub's cache"
        reason = f"from scratch: no {SMALL_BACKBONES[0]} {places}"
        yield Choice("MODEL.WEIGHTS", "", reason)
        return
    name = weights.removeprefix("timm://")
    yield Choice("MODEL.WEIGHTS", weights, "ImageNet's weights are on this machine")
    yield Choice("MODEL.BACKBONE.NAME", "D2Timm", "they are timm's")
    yield Choice("MODEL.TIMM.NAME", name, "small enough for a CPU")
    head, reason = "MODEL.KMAX_DEEPLAB", "as for the nuclei of configs/nuclei"
    yield Choice(f"{head}.PIXEL_DEC.DEC_CHANNELS", [64, 64, 64, 32], reason)
    yield Choice(f"{head}.TRANS_DEC.DEC_LAYERS", [0, 0, 2], reason)


def _queries(sight: Sight) -> list[Choice]:
    where = "window" if sight.tile else "image"
    reason = f"segments of the fullest {where}: {sight.needed}"
    if sight.excess:
        reason += f"; images that have more than can be found: {sight.excess}"
    return [Choice(QUERIES, sight.queries, reason)]


def _sizes(sight: Sight, profile: Profile) -> Iterator[Choice]:
    yield Choice("INPUT.IMAGE_SIZE", list(sight.size), _size_reason(sight, profile))
    yield Choice("INPUT.MIN_SIZE_TEST", min(sight.size), "as in training")
    yield Choice("INPUT.MAX_SIZE_TEST", max(sight.size), "as in training")
    if sight.tile:
        reason = f"windows of so many pixels leave {describe_small(sight.small)}"
        yield Choice("INPUT.TILE_TEST", sight.tile, reason)


def _scales(sight: Sight, profile: Profile) -> Iterator[Choice]:
    few = len(profile.sizes) < FEW_IMAGES
    usual = WINDOW_RANGE if sight.tile else WHOLE_RANGE
    low, high = (round(sight.scale * factor, 2) for factor in (WIDE_RANGE if few else usual))
    if sight.tile:
        reason = "train at the scale of the windows, on the images' own pixels"
        yield Choice("INPUT.SCALE_OF", "pixels", reason)
    about = f"evaluation sees them at {sight.scale:.2f}" if sight.tile else "around evaluation's 1"
    yield Choice("INPUT.MIN_SCALE", low, f"{about}{'; wide, for few images' if few else ''}")
    yield Choice("INPUT.MAX_SCALE", high, "likewise")


def _size_reason(sight: Sight, profile: Profile) -> str:
    height, width = np.median(profile.sizes, axis=0).astype(int)
    if not profile.is_thing.any():
        return f"images of {height}x{width}, no things"
    if sight.tile:
        return f"seen whole, {describe_small(sight.whole_small)}"
    what = "all" if profile.one_size else "half of the sides up to"
    return f"images: {what} {height}x{width}; leaves {describe_small(sight.small)}"


def _on_gpu(profile: Profile, machine: Machine) -> list[Choice]:
    sight = choose_sight(profile, *SIDES_ON_GPU)
    if sight.tile:  # windows may be any size: a smaller input sees as much
        smaller = choose_sight(profile, SIDES_ON_GPU[0], TILE_INPUT_ON_GPU)
        sight = smaller if smaller.tile else sight
    per_image = MEMORY_PER_IMAGE * sight.size[0] * sight.size[1] / RELEASED_SIDE**2
    room = (machine.memory * MEMORY_USED - MEMORY_STATE) / per_image
    batch = max(2 ** int(np.log2(max(room, 2))), 2)
    batch = min(batch, MOST_BATCH)
    count = len(profile.sizes)
    iterations = int(np.clip(EPOCHS * count // batch, LEAST_ITERATIONS, MOST_ITERATIONS))
    queries = _queries(sight) if sight.queries > RELEASED_QUERIES else []
    return [
        *_large_weights(machine.weights, bool(queries)),
        *queries,
        *_sizes(sight, profile),
        *(_scales(sight, profile) if sight.tile else ()),
        Choice(
            "SOLVER.IMS_PER_BATCH",
            batch,
            f"{per_image:.1f} GiB an image of {machine.memory:.0f} GiB (docs/performance.md)",
        ),
        Choice(RATE, RATE_PER_IMAGE * batch, "in proportion to the batch"),
        *schedule(iterations, f"each of {count} images {iterations * batch / count:.0f} times"),
        Choice(
            "TEST.EVAL_PERIOD", max(iterations // 5, 1), "scores while it trains; keeps the best"
        ),
    ]


def _large_weights(weights: str, more_queries: bool) -> Iterator[Choice]:
    if not weights:
        reason = f"from scratch, which takes long: put {RELEASED} (docs/MODEL_ZOO.md) here"
        yield Choice("MODEL.WEIGHTS", "", reason)
        return
    is_whole = not weights.startswith("timm://")
    known = "COCO's checkpoint" if is_whole else "ImageNet's weights of the backbone"
    yield Choice("MODEL.WEIGHTS", weights, f"{known}, found on this machine")
    if is_whole:
        parts = ["classes", "queries"] if more_queries else ["classes"]
        reason = "what names classes begins anew" + ("; so do queries" if more_queries else "")
        yield Choice("MODEL.KMAX_DEEPLAB.REINITIALIZE", parts, reason)
