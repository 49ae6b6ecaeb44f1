"""Someone looks at an image on a page: a file enters once; pictures and texts leave, as often as
thresholds and views are changed and places clicked.

The network looks only once. Nothing here knows what the page is made with.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import ndimage

from kmax_deeplab.predict.looking import Glance, semantic_map
from kmax_deeplab.predict.prediction import PredictedImage
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.sources import NamedImage, read
from kmax_deeplab.predict.tiles import windows
from kmax_deeplab.structures import MergeThresholds
from kmax_deeplab.visualize.cluster_maps import assignment_map, paint_assignment
from kmax_deeplab.visualize.overlays import draw_panoptic, find_boxes, magnify
from kmax_deeplab.visualize.views import (
    ScoredMask,
    draw_semantic,
    draw_things,
    enlarge,
    point_out,
)
from kmax_deeplab.whole_files import whole_file

VIEWS = ("Segments", "Classes", "Objects", "Photo", "Clusters")
SEGMENTS, CLASSES, OBJECTS, PHOTO, CLUSTERS = VIEWS
SHOWN_SIDE = 1200
"""Pixels up to which the longer side of a small image is enlarged, so that names are readable."""


class Visit:
    """An image that was looked at.

    Args:
        predict: who looked.
        image: that was looked at.
        glances: what was seen, in order.
    """

    def __init__(self, predict: Predictor, image: NamedImage, glances: list[Glance]) -> None:
        self.predict, self.image, self.glances = predict, image, glances
        self._decided: tuple[MergeThresholds, PredictedImage] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.pixels.shape[:2]

    @property
    def layers(self) -> int:
        """K-means layers, the final prediction among them; 0 if windows were looked at."""
        return len(self.glances[0].layers) if len(self.glances) == 1 else 0

    @property
    def views(self) -> list[str]:
        """Those of `VIEWS` that there are of this image."""
        return [view for view in VIEWS if view != CLUSTERS or self.layers]

    @property
    def factor(self) -> int:
        """By which its pictures are enlarged."""
        return max(SHOWN_SIDE // max(self.size), 1)

    @property
    def num_bytes(self) -> int:
        """Memory that it takes, about."""
        layers = (layer for glance in self.glances for layer in glance.layers)
        logits = sum(x.nbytes for layer in layers for x in (layer.mask_logits, layer.class_logits))
        pictures = 3 * self.image.pixels.nbytes  # with the maps of segments and classes
        return logits + pictures

    def decide(self, merge: MergeThresholds) -> PredictedImage:
        """Returns the segments by thresholds; those of the last thresholds are kept."""
        decided = self._decided
        if decided is None or decided[0] != merge:
            decided = merge, self.predict.decide(self.image, self.glances, merge)
            self._decided = decided
        return decided[1]

    def draw(
        self, view: str, merge: MergeThresholds, chosen: int = 0, layer: int = -1
    ) -> np.ndarray:
        """Draws a view of the image, enlarged by `factor`.

        Args:
            view: one of `views`.
            merge: thresholds.
            chosen: id of a segment to point out; 0: none.
            layer: k-means layer whose clusters are seen.

        Returns:
            (factor * H, factor * W, 3) uint8 RGB.

        Raises:
            KeyError: there is no such view of this image.
        """
        if view not in self.views:
            raise KeyError(f"view {view!r} is none of {', '.join(self.views)}")
        found = self.decide(merge)
        picture = self._draw(view, found, merge, layer)
        if chosen:
            return point_out(picture, enlarge(found.panoptic, self.factor), chosen)
        return picture

    def _draw(
        self, view: str, found: PredictedImage, merge: MergeThresholds, layer: int
    ) -> np.ndarray:
        names, large = found.categories, magnify(self.image.pixels, self.factor)
        if view == SEGMENTS:
            ids = enlarge(found.panoptic, self.factor)
            return draw_panoptic(large, ids, found.segments_info, names)
        if view == CLASSES:
            return draw_semantic(large, enlarge(self._semantic, self.factor), names)
        if view == OBJECTS:
            things = self._overlapping(merge) if self.layers else _things(found)
            return draw_things(large, (thing.enlarged(self.factor) for thing in things), names)
        if view == CLUSTERS:
            (glance,) = self.glances
            logits = glance.layers[layer].mask_logits[0].float().cpu().numpy()
            clusters = assignment_map(logits, glance.geometry)
            return paint_assignment(enlarge(clusters, self.factor), large)
        return large

    @cached_property
    def _semantic(self) -> np.ndarray:
        """(H, W) int32 index of a class at every pixel."""
        return semantic_map(self.predict.model, self.glances, self.size)

    def _overlapping(self, merge: MergeThresholds) -> Iterator[ScoredMask]:
        """Yields the things of an image that was looked at as a whole, the best first."""
        wanted = {"panoptic": True, "semantic": False, "instance": True}
        found = self.glances[0].decide(self.predict.model, merge, **wanted).instances
        for mask, label, score in zip(found.masks, found.classes, found.scores, strict=True):
            if score > merge.thing and mask.any():
                mask = mask.cpu().numpy()
                (place,) = ndimage.find_objects(mask.view(np.uint8))
                yield ScoredMask(place, mask[place], int(label), float(score))

    def choose(self, merge: MergeThresholds, x: int, y: int) -> int:
        """Returns the id of the segment at a place of its pictures, 0 where there is none."""
        row, column = (
            min(max(place // self.factor, 0), length - 1)
            for place, length in zip((y, x), self.size, strict=True)
        )
        return int(self.decide(merge).panoptic[row, column])

    def save(self, merge: MergeThresholds, folder: str | Path) -> Path:
        """Writes a ZIP of the panoptic PNG, the JSON in COCO's format and the picture.

        Returns:
            Its path.
        """
        path = Path(folder) / f"{Path(self.image.name).stem}.zip"
        with TemporaryDirectory() as inside, whole_file(path) as partial:
            self.decide(merge).save(inside)
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(Path(inside).iterdir()):
                    archive.write(file, file.name)
        return path


def visit(
    predict: Predictor,
    path: str | Path,
    most_pixels: int,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Visit:
    """Reads an image and looks at it.

    Args:
        predict: who looks.
        path: of the image, by whose name it is called.
        most_pixels: that it may have.
        tell: is told how many windows were looked at, and of how many.

    Raises:
        UnreadableImageError: the file is damaged, no image, or of a kind that is not looked at.
    """
    image, inputs = read(Path(path).name, path, most_pixels), predict.inputs
    count = sum(1 for _ in windows(image.pixels.shape[:2], inputs.tile, inputs.tile_overlap))
    glances = []
    for glance in predict.look(image):
        glances.append(_kept(glance, final=count > 1))
        tell(len(glances), count)
    return Visit(predict, image, glances)


def _kept(glance: Glance, *, final: bool) -> Glance:
    """Forgets the features, and if `final` the layers before the last, which need much memory."""
    layers = glance.layers[-1:] if final else glance.layers
    nothing = layers[-1].mask_logits.new_empty(0)
    return replace(glance, layers=[replace(layer, pixel_feature=nothing) for layer in layers])


def _things(found: PredictedImage) -> Iterator[ScoredMask]:
    """Yields the things among the segments, the best first."""
    boxes = find_boxes(found.panoptic)
    for segment in sorted(found.segments, key=lambda segment: -segment.score):
        if segment.isthing:
            place = boxes[segment.id]
            mask = found.panoptic[place] == segment.id
            yield ScoredMask(place, mask, segment.category_id, segment.score)
