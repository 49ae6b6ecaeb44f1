"""The training mapper written the straightforward way, for the faster one to be held against.

What enters and leaves is what enters and leaves `TrainMapper`, down to every random choice: a test
holds both to the same samples. On the way, images are decoded and resized whole and jittered before
the crop, and every segment is a full-resolution float32 mask that is resized, cropped, flipped,
padded and pasted by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.projects.point_rend import ColorAugSSDTransform

from kmax_deeplab.d2.data.augmentations import Augmentations
from kmax_deeplab.d2.data.mapper import TrainMapper, input_dict
from kmax_deeplab.data.samples.copy_paste import choose_segments, pad
from kmax_deeplab.data.samples.segments import Segment
from kmax_deeplab.data.samples.targets import STRIDE
from kmax_deeplab.structures import VOID, Targets


@dataclass
class MaskedImage:
    """An image with a mask per segment.

    Attributes:
        image: (H, W, 3) uint8.
        is_real: (H, W) bool.
        masks: (M, H, W) float32, 1 inside.
        segments: M of them.
    """

    image: np.ndarray
    is_real: np.ndarray
    masks: np.ndarray
    segments: list[Segment]


class StraightforwardMapper(TrainMapper):
    """Makes the samples of `TrainMapper` from float masks."""

    def load(self, record: Mapping, augmentations: Augmentations) -> MaskedImage:
        """Reads, augments and pads an image and the mask of every segment that is no crowd."""
        sample = T.AugInput(detection_utils.read_image(record["file_name"], "RGB"))
        transforms = T.AugmentationList(
            [
                augmentations.resize,
                ColorAugSSDTransform("RGB"),
                augmentations.crop,
                *augmentations.flips,
            ]
        )(sample)
        png = detection_utils.read_image(record["pan_seg_file_name"], "RGB").astype(np.int64)
        ids = png[..., 0] + 256 * png[..., 1] + 256**2 * png[..., 2]
        masks, segments = [], []
        for info in sorted(record["segments_info"], key=lambda info: info["id"]):
            if not info.get("iscrowd", 0):
                mask = transforms.apply_segmentation((ids == info["id"]).astype(np.uint8))
                masks.append(pad(mask.astype(np.float32), self.image_size, 0))
                segments.append(Segment(info["category_id"], bool(info["isthing"])))
        is_real = np.ones(sample.image.shape[:2], dtype=bool)
        return MaskedImage(
            pad(sample.image, self.image_size, 0),
            pad(is_real, self.image_size, False),
            *merge(self.stack(masks), segments),
        )

    def compose(
        self, record: Mapping, main: MaskedImage, donor: MaskedImage, rng: np.random.Generator
    ) -> dict:
        """Pastes segments of the second image on the first (see `TrainMapper.__call__`)."""
        chosen = np.flatnonzero(choose_segments(donor.segments, rng))
        pasted = donor.masks[chosen]  # (k, H, W)
        cover = pasted.sum(axis=0)  # (H, W)
        image = main.image * (1 - cover[..., None]) + donor.image * cover[..., None]
        is_real = main.is_real | (cover > 0)
        masks = np.concatenate([main.masks * (1 - cover), pasted])
        segments = [*main.segments, *(donor.segments[index] for index in chosen)]
        planes = image.astype(np.uint8).transpose(2, 0, 1).copy()
        return input_dict(record, planes, is_real, targets_of(masks, segments))

    def stack(self, masks: Sequence[np.ndarray]) -> np.ndarray:
        """Stacks masks (H, W), of which there may be none."""
        return np.stack(masks) if masks else np.zeros((0, *self.image_size), dtype=np.float32)


def merge(masks: np.ndarray, segments: Sequence[Segment]) -> tuple[np.ndarray, list[Segment]]:
    """Drops masks (M, H, W) without a pixel and adds up those of stuff of one class."""
    merged, kept = [], []
    for mask, segment in zip(masks, segments, strict=True):
        if not mask.any():
            continue
        if not segment.is_thing and segment in kept:
            merged[kept.index(segment)] += mask
        else:
            merged.append(mask.copy())
            kept.append(segment)
    return (np.stack(merged) if merged else masks[:0]), kept


def targets_of(masks: np.ndarray, segments: Sequence[Segment]) -> Targets:
    """Samples masks (M, H, W) on the stride-4 grid."""
    masks, segments = merge(masks[:, ::STRIDE, ::STRIDE], segments)
    semantic = np.full(masks.shape[1:], VOID)
    for mask, segment in zip(masks, segments, strict=True):
        semantic[mask > 0] = segment.category
    return Targets.from_masks(
        torch.tensor([segment.category for segment in segments], dtype=torch.long),
        torch.from_numpy(masks > 0),
        torch.from_numpy(semantic),
    )
