"""An exported network and images enter, segments leave."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.postprocessing.geometry import Geometry
from kmax_deeplab.predict.joining import Joined
from kmax_deeplab.predict.sizes import resize, tested_size, window_size
from kmax_deeplab.predict.tiles import Window, windows
from kmax_deeplab.runtime.facts import Facts
from kmax_deeplab.runtime.merging import find_segments

Network = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Answer:
    """What the network says about one window.

    Attributes:
        window: where it looked.
        class_logits: (Q, K + 1) float32, void last.
        mask_logits: (Q, h, w) float32.
        geometry: where the window lies in the network's input.
    """

    window: Window
    class_logits: np.ndarray
    mask_logits: np.ndarray
    geometry: Geometry


class ExportedModel:
    """An exported model.

    Args:
        facts: what its file says.
        network: (B, 3, H, W) float32 to class and mask logits.
        batch: images that it takes at a time; None: any number.
    """

    def __init__(self, facts: Facts, network: Network, batch: int | None) -> None:
        self.facts, self.network, self.batch = facts, network, batch

    @property
    def categories(self) -> Categories:
        """The classes, in the order of the outputs."""
        return self.facts.categories

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, list[dict]]:
        """Finds the segments of an image, whole or window by window as the model is made for.

        Args:
            image: (H, W, 3) uint8 RGB, upright.

        Returns:
            (H, W) int32 segment ids, 0 where void, and "id", "category_id" (an index of a class),
            "isthing", "query" and "score" of each segment.

        Raises:
            ValueError: the image does not fit into the network's input, or the answer is none.
        """
        return self.decide(self.look(image), image.shape[:2])

    def decide(
        self, answers: Iterable[Answer], size: tuple[int, int]
    ) -> tuple[np.ndarray, list[dict]]:
        """Turns what the network says about the windows of an image of a size into segments."""
        merge, is_thing = self.facts.merge, np.array(self.categories.is_thing)
        joined, alone = None, None
        for answer in answers:
            logits = answer.class_logits, answer.mask_logits
            alone = find_segments(*logits, answer.geometry, merge, is_thing)
            if answer.window.size != size:
                joined = joined or Joined(size, merge.overlap)
                joined.add(answer.window, *alone)
        return joined.finish() if joined else alone

    def look(self, image: np.ndarray) -> Iterator[Answer]:
        """Yields what the network says about each window on an image."""
        inputs = self.facts.inputs
        ahead = windows(image.shape[:2], inputs.tile, inputs.tile_overlap)
        while some := list(islice(ahead, self.batch or 1)):
            parts = [self.prepare(image[window.place]) for window in some]
            missing = (self.batch or 1) - len(parts)
            class_logits, mask_logits = self.run(np.stack(parts + parts[:1] * missing))
            for window, one_class, one_mask in zip(some, class_logits, mask_logits, strict=False):
                geometry = Geometry(
                    tuple(inputs.image_size), self.resized_size(window.size), window.size
                )
                yield Answer(window, one_class, one_mask, geometry)

    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Runs the network on (B, 3, H, W) float32; returns class and mask logits.

        Raises:
            ValueError: they hold NaN or infinite values.
        """
        logits = self.network(pixels)
        if not all(np.isfinite(values).all() for values in logits):
            raise ValueError("the answer of the network holds NaN or infinite values")
        return logits

    def prepare(self, part: np.ndarray) -> np.ndarray:
        """Turns an image or a window, (H, W, 3) uint8, into (3, h, w) float32 as the network wants.

        The padding has the mean colour, which becomes 0 when the network subtracts it.

        Raises:
            ValueError: it does not fit.
        """
        inputs, size = self.facts.inputs, self.resized_size(part.shape[:2])
        height, width = inputs.image_size
        if size[0] > height or size[1] > width:
            raise ValueError(
                f"an image of {part.shape[0]} × {part.shape[1]} pixels (height × width) is resized "
                f"to {size[0]} × {size[1]}, but this file takes {height} × {width}: export the "
                "model with --size for it"
            )
        mean = np.array(inputs.pixel_mean, np.float32)[:, None, None]
        padded = np.broadcast_to(mean, (3, height, width)).copy()
        padded[:, : size[0], : size[1]] = resize(part, size)
        return padded

    def resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the (height, width) that an image or a window is resized to."""
        inputs = self.facts.inputs
        if inputs.tile:
            return window_size(size, inputs.tile, inputs.shorter_side)
        return tested_size(size, inputs.shorter_side, inputs.longer_side)
