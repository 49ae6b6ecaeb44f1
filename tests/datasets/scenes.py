"""What the trees of the benchmarks have in common: random scenes of rectangles, and archives."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Region:
    """A rectangle of one class: rows and columns [first, last) in pixels, and what it shows."""

    top: int
    left: int
    bottom: int
    right: int
    class_index: int
    is_crowd: bool = False

    @property
    def area(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def polygon(self) -> list[list[int]]:
        """Corners, the last pixel inclusive, as (x, y)."""
        right, bottom = self.right - 1, self.bottom - 1
        return [[self.left, self.top], [right, self.top], [right, bottom], [self.left, bottom]]


def draw_scene(
    rng: np.random.Generator, stuff: Sequence[int], things: Sequence[int], height: int, width: int
) -> list[Region]:
    """Draws two stuff regions with an unlabelled stripe between them, three things and a crowd.

    Later regions cover earlier ones; every thing keeps more than the 100 pixels that the official
    evaluation of Cityscapes asks for.
    """
    horizon = height // 2 + int(rng.integers(-4, 5))
    upper, lower = rng.choice(stuff, 2, replace=False).tolist()
    one, other = rng.choice(things, 2, replace=False).tolist()
    regions = [
        Region(0, 0, horizon - 2, width, upper),
        Region(horizon + 2, 0, height, width, lower),
    ]
    side = width // 4
    for column, (class_index, is_crowd) in enumerate(
        [(one, False), (one, False), (other, False), (one, True)]
    ):
        top = int(rng.integers(2, height - 22))
        left = column * side + int(rng.integers(0, side - 13))
        size = int(rng.integers(12, 20))
        regions.append(Region(top, left, top + size, left + 13, class_index, is_crowd))
    return regions


def paint(regions: Sequence[Region], height: int, width: int) -> np.ndarray:
    """Returns the number of the region that each pixel shows, counted from 1; 0 is unlabelled."""
    labels = np.zeros((height, width), dtype=np.int64)
    for number, region in enumerate(regions, start=1):
        labels[region.area] = number
    return labels


def photograph(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns an RGB image with a noisy colour per label."""
    colors = rng.integers(0, 200, (int(labels.max()) + 1, 3))
    return (colors[labels] + rng.integers(0, 40, (*labels.shape, 3))).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """Returns an image file ("PNG" or "JPEG")."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def as_json(content: object) -> bytes:
    return json.dumps(content).encode()


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(files))


def zipped(files: dict[str, bytes]) -> bytes:
    """Returns a ZIP archive of files, and of the folders they lie in, as publishers make them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in sorted({f"{Path(name).parent}/" for name in files} - {"./"}):
            archive.writestr(folder, b"")
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()
