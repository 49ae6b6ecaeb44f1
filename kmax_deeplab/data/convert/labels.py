"""What the readers of other tools' labels hand on: a source of images, and the regions of each.

A reader lists its images in `Source.images`, cheaply, and draws one of them when asked, in any
process. What is done with the regions then (classes merged, overlaps resolved, splits, files) is
the same for every format: see `changes`, `stacking` and `conversion`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import ENCODING
from kmax_deeplab.data.format.images import UNREADABLE, require_usable, upright_size


@dataclass(frozen=True)
class Region:
    """The pixels that one label marks.

    Attributes:
        category_id: of its class.
        mask: (height, width) bool, of its box alone.
        top: first row of the box in the image, in pixels.
        left: first column of the box.
        iscrowd: whether, if it is of a thing, it holds several that nobody told apart.
        layer: that a tool draws it in; a higher one lies above lower ones of the same kind.
    """

    category_id: int
    mask: np.ndarray
    top: int = 0
    left: int = 0
    iscrowd: bool = False
    layer: int = 0

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the box in the image."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @classmethod
    def of(
        cls, category_id: int, mask: np.ndarray, *, iscrowd: bool = False, layer: int = 0
    ) -> "Region":
        """Cuts the box of a region out of a mask of the whole image, (H, W) bool."""
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        if not len(rows):
            return cls(category_id, mask[:0, :0], iscrowd=iscrowd, layer=layer)
        top, left = int(rows[0]), int(columns[0])
        box = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        return cls(category_id, box.copy(), top, left, iscrowd, layer)


@dataclass(frozen=True)
class Labels:
    """The labels of an image.

    Attributes:
        size: (height, width) in pixels, of the image as it is seen.
        regions: in the order of their ids; they may overlap.
        dropped: how many labels are no region, by the reason: {"line with two points": 3}.
        notes: what else is worth counting, in the same way.
        void: (H, W) bool, pixels that stay unlabelled where no region lies, whatever else is made
            of such pixels; None: there are none.
    """

    size: tuple[int, int]
    regions: Sequence[Region]
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    void: np.ndarray | None = None


@dataclass(frozen=True)
class LabelledImage:
    """An image that waits for its labels to be drawn; small, and can be pickled.

    Attributes:
        image_id: number or text.
        file_name: of the image, below the folder of images.
        labels: what the reader's `draw` needs: paths, polygons.
        files: that the labels come from; where one of them changes they are drawn again.
        part: of the dataset that the format itself assigns the image to, "train"; "" if none.
    """

    image_id: int | str
    file_name: str
    labels: Any
    files: tuple[Path, ...] = ()
    part: str = ""


@dataclass(frozen=True)
class Source:
    """The labels of a dataset in another format.

    Attributes:
        folder: of the images; None where nobody said.
        categories: in the order of the new dataset.
        images: in the order of the new dataset.
        draw: returns the labels of an image; can be pickled, and is small. It raises ValueError
            where a file is damaged or holds what it must not; the message names the file.
        notes: sentences on what was found and left out before any image is drawn.
    """

    folder: Path | None
    categories: Categories
    images: Sequence[LabelledImage]
    draw: Callable[[LabelledImage], Labels]
    notes: Sequence[str] = ()


def read_lines(path: Path) -> list[str]:
    """Reads the lines of a text file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text; the message names it.
    """
    try:
        return path.read_text(encoding=ENCODING).splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error}): write it again") from error


def read_size(path: Path) -> tuple[int, int]:
    """Reads (height, width) in pixels of an image file as it is seen, upright.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or cannot be used; the message names it.
    """
    try:
        with Image.open(path) as image:
            require_usable(image)
            return upright_size(image)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: this image does not exist") from error
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be used ({error})") from error
