"""In which size a model should see a dataset: a profile enters, input, windows and scales leave."""

from dataclasses import dataclass

import numpy as np

from kmax_deeplab.data.check.profile import (
    MOST_SMALL,
    SMALL_SIDE,
    STEP,
    Profile,
    least_input,
    small_share,
    widest_tile,
)
from kmax_deeplab.data.check.query_count import propose_queries
from kmax_deeplab.data.check.window_queries import needed_in_windows

OVERLAP = 0.5
"""INPUT.TILE_OVERLAP_TEST, the default: things up to that share of a window are whole in one."""
LARGE = 0.95
"""Quantile of the longer sides of things that windows have to keep whole."""
MIDDLE_SIDE = 24
"""Pixels of the input that half of the things should be wide in windows: three of the cells, at
stride 8, that the last k-means layers assign."""
MANY_QUERIES = 256
"""Queries that are proposed at most: memory and time of masks grow with them."""


@dataclass(frozen=True)
class Sight:
    """How a model looks at images.

    Attributes:
        size: (height, width) of the input in pixels, each 32k + 1.
        tile: side of the windows in pixels of the image; 0: images are seen whole.
        small: share of things below 8 x 8 pixels of the input.
        whole_small: the same if images were seen whole in the largest input that is affordable.
        needed: queries that the fullest image, or window, needs.
        excess: images that need more than `queries`.
    """

    size: tuple[int, int]
    tile: int
    small: float
    whole_small: float
    needed: int
    excess: int

    @property
    def queries(self) -> int:
        """Number of queries to propose."""
        return min(propose_queries([self.needed]), MANY_QUERIES)

    @property
    def scale(self) -> float:
        """Factor by which a window is resized; 1 for whole images, which are fitted."""
        return max(self.size) / self.tile if self.tile else 1.0


def choose_sight(profile: Profile, least: int, most: int) -> Sight:
    """Decides in which size, whole or in windows, a model sees the images.

    Args:
        profile: of the images to train on.
        least, most: sides of inputs that the machine can afford, 32k + 1 pixels.
    """
    longest = int(profile.longest_sides.max())
    wanted = least_input(profile) if profile.is_thing.any() else min(upwards(longest), most)
    whole_small = small_share(profile, most)
    if wanted > most and (tile := _tile(profile, most)):
        return _sight(profile, (most, most), tile, whole_small)
    side = min(max(wanted, min(least, upwards(longest))), most)
    return _sight(profile, _frame(profile, side), 0, whole_small)


def upwards(side: float) -> int:
    """Returns the next 32k + 1 from a number of pixels upwards."""
    return max(int(np.ceil((side - 1) / STEP)), 1) * STEP + 1


def _tile(profile: Profile, side: int) -> int:
    """Returns the side of windows that show small things and keep large ones whole.

    It is a multiple of STEP where that leaves it wide enough; 0 if windows do not make half of the
    small things large.
    """
    half = float(np.median(profile.thing_areas))
    shows = min(widest_tile(profile, side, MOST_SMALL), int(side * np.sqrt(half) / MIDDLE_SIDE))
    keeps = int(np.ceil(np.quantile(profile.thing_sides, LARGE) / OVERLAP))
    tile = max(shows // STEP * STEP, keeps)
    gains = small_share(profile, side, tile) <= small_share(profile, side) / 2
    return tile if tile < profile.longest_sides.max() and gains else 0


def _frame(profile: Profile, side: int) -> tuple[int, int]:
    """Returns (height, width) that images of one size fill without a border, else a square."""
    if not profile.one_size:
        return side, side
    height, width = profile.sizes[0]
    scale = side / max(height, width)
    return upwards(height * scale), upwards(width * scale)


def _sight(profile: Profile, size: tuple[int, int], tile: int, whole_small: float) -> Sight:
    needed = needed_in_windows(profile, tile) if tile else list(profile.needed)
    return Sight(
        size=size,
        tile=tile,
        small=small_share(profile, max(size), tile),
        whole_small=whole_small,
        needed=max(needed),
        excess=sum(count > MANY_QUERIES for count in needed),
    )


def describe_small(share: float) -> str:
    """Says how many things are small."""
    return f"{share:.0%} of the things below {SMALL_SIDE}x{SMALL_SIDE} pixels"
