"""What is written of an image besides its panoptic PNG: a prediction enters, files leave, whole."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from kmax_deeplab.predict.prediction import PredictedImage
from kmax_deeplab.visualize.overlays import find_boxes
from kmax_deeplab.visualize.views import ScoredMask, draw_semantic, draw_things
from kmax_deeplab.whole_files import WholeFolder, write_json, write_png

CSV = "csv"
"""The table of segments, which is one file for all images."""
BYTE = 255
"""Greatest category id that a PNG of bytes holds."""


@dataclass(frozen=True)
class Output:
    """A kind of file that there is one of for each image.

    Attributes:
        folder: below the folder of results.
        ending: after the name of the image.
        write: writes it: path and prediction.
        needs_views: whether it shows more than the segments, so that the network's answer is kept.
    """

    folder: str
    ending: str
    write: Callable[[Path, PredictedImage], None]
    needs_views: bool = False

    def path(self, root: Path, name: str) -> Path:
        """Returns where it lies for the image of a name."""
        return root / self.folder / f"{name}{self.ending}"


def write_overlay(path: Path, seen: PredictedImage) -> None:
    """Writes the image with its segments painted over it."""
    write_png(path, seen.draw())


def write_masks(path: Path, seen: PredictedImage) -> None:
    """Writes a folder with a black and white PNG of every segment, named by id and class."""
    folder = WholeFolder(path)
    folder.clear()
    folder.partial.mkdir(parents=True)
    for segment in seen.segments:
        class_name = re.sub(r"[^\w-]+", "_", segment.name)
        mask = Image.fromarray(seen.panoptic == segment.id)
        mask.save(folder.partial / f"{segment.id:04d}_{class_name}.png")
    folder.finish()


def write_semantic(path: Path, seen: PredictedImage) -> None:
    """Writes a grey PNG with the category id of every pixel, of 16 bits if 8 do not do."""
    ids = np.array(seen.categories.ids)
    write_png(path, ids.astype(np.uint8 if ids.max() <= BYTE else np.uint16)[seen.semantic])


def write_semantic_overlay(path: Path, seen: PredictedImage) -> None:
    """Writes the image with the class of every pixel painted over it."""
    write_png(path, draw_semantic(seen.image, seen.semantic, seen.categories))


def write_instances(path: Path, seen: PredictedImage) -> None:
    """Writes scored masks of things as COCO's results have them, but for "image_id"."""
    # Only COCO's run lengths need pycocotools.
    from kmax_deeplab.data.format.derived_truth import encode_part

    found = []
    for thing in scored_things(seen):
        rows, columns = thing.place
        left, top = columns.start, rows.start
        found.append(
            {
                "category_id": seen.categories.ids[thing.category],
                "score": round(thing.score, 4),
                "bbox": [left, top, columns.stop - left, rows.stop - top],
                "segmentation": encode_part(thing.mask, (top, left), seen.panoptic.shape),
            }
        )
    write_json(path, found)


def write_instances_overlay(path: Path, seen: PredictedImage) -> None:
    """Writes the image with things outlined that are as sure as segments must be."""
    least = min((segment.score for segment in seen.segments if segment.isthing), default=1.0)
    things = (thing for thing in scored_things(seen) if thing.score >= least)
    write_png(path, draw_things(seen.image, things, seen.categories))


def scored_things(seen: PredictedImage) -> Iterator[ScoredMask]:
    """Yields the things in an image, the best first; they may overlap.

    Those of an image that was looked at in windows are its segments.
    """
    if seen.is_joined:
        boxes = find_boxes(seen.panoptic)
        for segment in sorted(seen.segments, key=lambda segment: -segment.score):
            if segment.isthing:
                mask = seen.panoptic[boxes[segment.id]] == segment.id
                yield ScoredMask(boxes[segment.id], mask, segment.category_id, segment.score)
        return
    found = seen.instances
    classes, scores = found.classes.tolist(), found.scores.tolist()
    for index in np.argsort([-score for score in scores], kind="stable").tolist():
        mask = found.masks[index].numpy()
        if mask.any():
            (place,) = ndimage.find_objects(mask.view(np.uint8))
            yield ScoredMask(place, mask[place], classes[index], scores[index])


OVERLAY, INSTANCES = "overlay", "instances"
OUTPUTS = {
    OVERLAY: Output("overlays", ".png", write_overlay),
    "masks": Output("masks", ".masks", write_masks),
    "semantic": Output("semantic", ".png", write_semantic, True),
    "semantic-overlay": Output("semantic_overlays", ".png", write_semantic_overlay, True),
    INSTANCES: Output("instances", ".json", write_instances, True),
    "instances-overlay": Output("instance_overlays", ".png", write_instances_overlay, True),
}
"""By the names by which they are asked for."""
KINDS = (*OUTPUTS, CSV)
"""All that can be asked for."""


def choose(kinds: Sequence[str]) -> dict[str, Output]:
    """Returns the outputs of some kinds.

    Raises:
        ValueError: there is no such kind.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise ValueError(f"--save {' '.join(unknown)}: the kinds are {', '.join(KINDS)}")
    return {kind: OUTPUTS[kind] for kind in OUTPUTS if kind in kinds}
