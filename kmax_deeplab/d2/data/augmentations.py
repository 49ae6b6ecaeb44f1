"""Detectron2's augmentations, asked where to look before any pixel is read.

What enters: the settings of `INPUT`; then the size of an image. What leaves: a `View`, and a colour
jitter for what it cuts. Scale, crop and flip are drawn by Detectron2's own classes (section "Data",
steps 1 and 2).
"""

import random
from dataclasses import dataclass

import cv2
import numpy as np
from detectron2.data import transforms as T
from detectron2.projects.point_rend import ColorAugSSDTransform

from kmax_deeplab.data.samples.view import View

SCALES = ("fit", "pixels")
"""What a scale of INPUT is relative to: fitting inside IMAGE_SIZE, or the image's own pixels."""
FLIPS = {"horizontal": (True,), "vertical": (False,), "both": (True, False), "none": ()}
"""Whether each flip of INPUT.RANDOM_FLIP is horizontal; each happens to half of the views."""
HUES = 180
"""Values of the hue in OpenCV's 8-bit HSV."""


class ColorJitter(ColorAugSSDTransform):
    """Detectron2's SSD colour jitter by tables: the same bytes, without floating-point images.

    Every step but the changes of colour space maps a byte to a byte, so a table of 256 entries,
    filled by the step itself, is all that has to be computed.
    """

    def __init__(self) -> None:
        super().__init__("BGR")

    def apply_image(self, img: np.ndarray, interp: str | None = None) -> np.ndarray:
        """Jitters an RGB image (H, W, 3) uint8, by Python's global random state."""
        jittered = super().apply_image(cv2.cvtColor(img, cv2.COLOR_RGB2BGR))
        return cv2.cvtColor(jittered, cv2.COLOR_BGR2RGB)

    def convert(self, img: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        """Scales and shifts bytes of any shape."""
        return cv2.LUT(img, super().convert(np.arange(256, dtype=np.uint8), alpha, beta))

    def hue(self, img: np.ndarray) -> np.ndarray:
        """Turns the hue of an image (H, W, 3), or leaves it."""
        if not random.randrange(2):
            return img
        turned = np.arange(256) + random.randint(-self.hue_delta, self.hue_delta)
        hsv = cv2.cvtColor(img, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = cv2.LUT(hsv[..., 0], (turned % HUES).astype(np.uint8))
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


class ScalePixels(T.Augmentation):
    """Scales an image by a random factor on its own pixels, whatever its size.

    Args:
        least, greatest: range of the factor.
    """

    def __init__(self, least: float, greatest: float) -> None:
        super().__init__()
        self.range = least, greatest

    def get_transform(self, image: np.ndarray) -> T.ResizeTransform:
        """Draws the factor by numpy's global random state."""
        size, factor = image.shape[:2], np.random.uniform(*self.range)
        return T.ResizeTransform(*size, *(max(round(side * factor), 1) for side in size))


@dataclass(frozen=True)
class Augmentations:
    """What happens to an image before copy-paste, in this order.

    The jitter comes last: it treats pixels one by one and gives the same before the crop.
    """

    resize: T.ResizeScale | ScalePixels
    crop: T.RandomCrop
    flips: tuple[T.RandomFlip, ...]
    jitter: ColorJitter

    def draw_view(self, size: tuple[int, int]) -> View:
        """Draws, by numpy's global random state, what to show of an image of (H, W) pixels."""
        resize = self.resize.get_transform(stand_in(size))
        resized = (resize.new_h, resize.new_w)
        crop = self.crop.get_transform(stand_in(resized))
        flips = [flip.get_transform(stand_in((crop.h, crop.w))) for flip in self.flips]
        return View(
            *(size, resized, crop.y0, crop.x0, crop.h, crop.w),
            is_upside_down=any(isinstance(flip, T.VFlipTransform) for flip in flips),
            is_mirrored=any(isinstance(flip, T.HFlipTransform) for flip in flips),
        )


def build_augmentations(
    image_size: tuple[int, int], scale_range: tuple[float, float], scale_of: str, flip: str
) -> Augmentations:
    """Builds Detectron2's augmentations.

    Args:
        image_size: (H, W) of the samples in pixels.
        scale_range: least and greatest scale.
        scale_of: what a scale is relative to, of `SCALES`.
        flip: of `FLIPS`.
    """
    resize = {
        "fit": lambda: T.ResizeScale(*scale_range, *image_size),
        "pixels": lambda: ScalePixels(*scale_range),
    }[scale_of]()
    flips = (T.RandomFlip(horizontal=h, vertical=not h) for h in FLIPS[flip])
    return Augmentations(resize, T.RandomCrop("absolute", image_size), tuple(flips), ColorJitter())


def stand_in(size: tuple[int, int]) -> np.ndarray:
    """Returns an image (H, W, 3) that takes no memory, for who asks for a size by an image."""
    return np.broadcast_to(np.uint8(0), (*size, 3))
