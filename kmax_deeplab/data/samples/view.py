"""What a sample sees of an image: its place in the image, and the pixels and labels that lie there.

What enters: where to look, an image that need not be decoded yet, the labels of all its pixels.
What leaves: what resizing, cropping and mirroring all of it would give, without the work on what
is not seen: the same labels, the same pixels up to rounding. Labels stay at the file's resolution,
with the row and column that each row and column of the sample shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from kmax_deeplab.data.samples.segments import Labels, Segment, compact


@dataclass(frozen=True)
class View:
    """A window on an image that is resized first; all numbers are pixels.

    Attributes:
        source: (H, W) of the image.
        resized: (H, W) that the whole image is resized to.
        top, left: corner of the window in the resized image.
        height, width: size of the window.
        is_upside_down: whether the window is mirrored top to bottom.
        is_mirrored: whether the window is mirrored left to right.
    """

    source: tuple[int, int]
    resized: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    is_upside_down: bool = False
    is_mirrored: bool = False

    def rows(self) -> np.ndarray:
        """Returns the source row that each row of the window shows, (height,) int32."""
        rows = nearest(self.source[0], self.resized[0])[self.top :][: self.height]
        return rows[::-1] if self.is_upside_down else rows

    def columns(self) -> np.ndarray:
        """Returns the source column that each column of the window shows, (width,) int32."""
        columns = nearest(self.source[1], self.resized[1])[self.left :][: self.width]
        return columns[::-1] if self.is_mirrored else columns

    def crop(self, image: Image.Image) -> np.ndarray:
        """Decodes an image and resizes the window alone.

        Returns:
            (height, width, 3) uint8 RGB. Where the window is a part, a value may differ by 1,
            rarely by 2, from cutting the resized image: PIL rounds after each of two passes, and
            orders them by the sizes it is given.

        Raises:
            ValueError: the image is not of the source's size.
        """
        if image.size != self.source[::-1]:
            raise ValueError(f"a view of {self.source} pixels cannot cut {image.size[::-1]}")
        return self.resize(*decode(image, self.resized))

    def resize(self, image: Image.Image, extent: tuple[float, float]) -> np.ndarray:
        """Resizes and mirrors the window of a decoded image.

        Args:
            image: RGB, of any size.
            extent: (H, W) that the source takes up in it, in its pixels.
        """
        (down, across), (rows, columns) = extent, self.resized
        box = (
            self.left * across / columns,
            self.top * down / rows,
            (self.left + self.width) * across / columns,
            (self.top + self.height) * down / rows,
        )
        window = image.resize((self.width, self.height), Image.Resampling.BILINEAR, box)
        if self.is_mirrored:
            window = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.is_upside_down:
            window = window.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        return np.asarray(window)


@dataclass(frozen=True)
class LabelledView:
    """What a view shows.

    Attributes:
        image: (h, w, 3) uint8.
        source_map: (r, c) int32, index into `segments` of the source's pixels, VOID where
            unlabelled: every row and column that the view shows, once.
        segments: the segments, each of which has pixels in the view.
        rows: (h,) the row of `source_map` that each row of the image shows.
        columns: (w,) likewise.
    """

    image: np.ndarray
    source_map: np.ndarray
    segments: tuple[Segment, ...]
    rows: np.ndarray
    columns: np.ndarray

    def resize(self, values: np.ndarray, stride: int = 1) -> np.ndarray:
        """Looks up values of the source's pixels, (r, c), at every `stride`-th pixel of the image.

        Returns:
            (⌈h / stride⌉, ⌈w / stride⌉), of the values' type.
        """
        return take(values, self.rows[::stride], self.columns[::stride])


def show(
    view: View,
    image: Image.Image,
    labels: Labels,
    jitter: Callable[[np.ndarray], np.ndarray],
) -> LabelledView:
    """Decodes what a view shows of an image, changes its colours and joins its labels.

    Args:
        view: where to look.
        image: of the view's source; decoded here.
        labels: of all its pixels.
        jitter: changes colours, (h, w, 3) uint8.
    """
    return crop_labels(view, jitter(view.crop(image)), labels.segment_map, labels.segments)


def crop_labels(
    view: View, image: np.ndarray, segment_map: np.ndarray, segments: Sequence[Segment]
) -> LabelledView:
    """Joins the pixels that a view cut with the labels that it shows.

    Args:
        view: where to look.
        image: (view.height, view.width, 3) uint8, from `view.crop`.
        segment_map: (H, W) int32 of the source, index into `segments`, VOID where unlabelled.
        segments: all segments of the source.
    """
    rows, row_of = np.unique(view.rows(), return_inverse=True)
    columns, column_of = np.unique(view.columns(), return_inverse=True)
    source_map, seen = compact(take(segment_map, rows, columns), segments)
    return LabelledView(image, source_map, seen, row_of, column_of)


def decode(image: Image.Image, needed: tuple[int, int]) -> tuple[Image.Image, tuple[float, float]]:
    """Decodes an image, a JPEG at 1/2, 1/4 or 1/8 of its size if that is still all that is needed.

    Args:
        image: of any mode; only if it is not decoded yet can it be reduced.
        needed: (H, W) in pixels.

    Returns:
        The RGB image, and the (H, W) in its pixels that the image takes up: a reduced one ends in
        a part of a pixel where the size is no multiple.
    """
    height, width = image.height, image.width
    reduced = image.draft(None, needed[::-1])
    if reduced is not None:
        _, (_, _, width, height) = reduced
    return image.convert("RGB"), (height, width)


def nearest(source: int, resized: int) -> np.ndarray:
    """Returns which of `source` pixels PIL takes for each of `resized` ones, (resized,) int32."""
    # PIL itself is asked: it adds up steps, and a formula differs where a sum is nearly whole.
    ramp = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    return np.asarray(ramp.resize((resized, 1), Image.Resampling.NEAREST))[0]


def take(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns `values[rows][:, columns]`; one axis after the other is quicker than both at once."""
    return np.take(np.take(values, columns, axis=1), rows, axis=0)
