"""What a model sees in an image: ids, segments and pictures of them, in the forms others take."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.postprocessing.instances import InstanceMasks
from kmax_deeplab.visualize.overlays import count_pixels, draw_panoptic
from kmax_deeplab.whole_files import write_json, write_png

USED_UP = 0.8
"""Share of the queries with a segment from which on an image may hold more than were found."""


HUGE = 2**24
"""Pixels from which on the memory of an image is returned as soon as it is free."""


@dataclass(frozen=True)
class PredictedSegment:
    """One segment of an image.

    Attributes:
        id: its value in the map of segments, from 1.
        category_id: index of its class.
        name: of its class.
        isthing: whether it is one of several, or all there is of a stuff class.
        score: class score times mean mask probability, in [0, 1].
        area: pixels.
        box: left, top, right and bottom in pixels, ends exclusive.
        query: that found it; -1 for stuff of an image that was looked at in windows.
    """

    id: int
    category_id: int
    name: str
    isthing: bool
    score: float
    area: int
    box: tuple[int, int, int, int]
    query: int


@dataclass(frozen=True)
class Views:
    """What is computed of an image only if it is asked for.

    Attributes:
        semantic: (H, W) int32 index of a class at every pixel, void nowhere.
        instances: scored masks of things, which may overlap.
        clusters: (H, W) int64 query that each pixel is assigned to, for every k-means layer and the
            final prediction; empty for an image that was looked at in windows.
    """

    semantic: np.ndarray
    instances: InstanceMasks
    clusters: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class PredictedImage:
    """What the model sees in an image.

    Attributes:
        name: path of the image, or its number where it has none.
        image: (H, W, 3) uint8 RGB, upright.
        panoptic: (H, W) int32 segment ids, 0 where void.
        segments: the segments, in the order in which they were accepted.
        categories: the classes.
        queries_used: segments in the image, or the most in one of its windows.
        num_queries: of the model: no more segments can be found in an image or window.
        is_joined: whether it was looked at in windows, whose segments were joined.
    """

    name: str
    image: np.ndarray
    panoptic: np.ndarray
    segments: list[PredictedSegment]
    categories: Categories
    queries_used: int
    num_queries: int
    is_joined: bool = False
    _look_again: Callable[[], Views] | None = field(default=None, repr=False)

    @property
    def is_crowded(self) -> bool:
        """Whether nearly all queries have a segment, so that there may be more to see."""
        return self.queries_used >= USED_UP * self.num_queries

    @property
    def segments_info(self) -> list[dict]:
        """The segments as Detectron2 describes them."""
        return [asdict(segment) for segment in self.segments]

    @property
    def semantic(self) -> np.ndarray:
        """(H, W) int32 index of a class at every pixel; looks at the image again, once."""
        return self._views.semantic

    @property
    def instances(self) -> InstanceMasks:
        """Scored masks of things, which may overlap; looks at the image again, once."""
        return self._views.instances

    @property
    def clusters(self) -> list[np.ndarray]:
        """(H, W) int64 query of each pixel, for every k-means layer; looks again, once.

        Raises:
            ValueError: the image was looked at in windows.
        """
        if not self._views.clusters:
            raise ValueError(
                f"{self.name} was looked at in windows, each of which has clusters of its own: "
                "predict a part of it with Predictor(…, tile=0)"
            )
        return self._views.clusters

    def with_views(self) -> "PredictedImage":
        """Returns the same with its other views computed, so that any thread may ask for them."""
        views = self._views
        return replace(self, _look_again=lambda: views)

    @cached_property
    def _views(self) -> Views:
        if self._look_again is None:
            raise ValueError(
                f"{self.name}: only the process that predicted an image can look again"
            )
        return self._look_again()

    def __getstate__(self) -> dict:
        """Travels to other processes without the model."""
        return {**self.__dict__, "_look_again": None}

    def draw(self, numbers: Mapping[int, int] | None = None) -> np.ndarray:
        """Paints the segments over the image.

        Args:
            numbers: of things of a class, by id; default: the first is 1, the second 2, …

        Returns:
            (H, W, 3) uint8 RGB.
        """
        listed = self.segments_info
        if numbers is not None:
            listed = [{**s, "number": numbers.get(s["id"], 1)} for s in listed]
        return draw_panoptic(self.image, self.panoptic, listed, self.categories)

    def to_coco(self) -> dict:
        """Returns the annotation of COCO's panoptic format, with the dataset's category ids."""
        return {
            "image_id": self.name,
            "file_name": f"{Path(self.name).stem}.png",
            "segments_info": [self._to_coco(segment) for segment in self.segments],
        }

    def _to_coco(self, segment: PredictedSegment) -> dict:
        left, top, right, bottom = segment.box
        return {
            "id": segment.id,
            "category_id": self.categories.ids[segment.category_id],
            "iscrowd": 0,
            "area": segment.area,
            "bbox": [left, top, right - left, bottom - top],
            "score": round(segment.score, 4),
        }

    def save(self, folder: str | Path) -> Path:
        """Writes the panoptic PNG, a JSON in COCO's panoptic format and the picture of an image.

        Args:
            folder: where `NAME.png`, `NAME.json` and `NAME.overlay.png` come to lie, whole.

        Returns:
            The JSON's path.
        """
        base = Path(folder) / Path(self.name).stem
        content = {"annotations": [self.to_coco()], "categories": self.categories.to_json()}
        write_png(base.with_name(f"{base.name}.overlay.png"), self.draw())
        write_ids(base.with_name(f"{base.name}.png"), self.panoptic)
        write_json(path := base.with_name(f"{base.name}.json"), content)
        return path

    def _repr_png_(self) -> bytes:
        """Shows the picture in a notebook."""
        return Image.fromarray(self.draw())._repr_png_()


def describe(
    panoptic: np.ndarray, segments: list[dict], categories: Categories
) -> list[PredictedSegment]:
    """Measures the segments of an image.

    Args:
        panoptic: (H, W) int32 segment ids, from 1.
        segments: see `postprocessing.panoptic.merge`.
        categories: the classes.
    """
    areas = count_pixels(panoptic, len(segments))
    boxes = ndimage.find_objects(panoptic, len(segments))
    described = []
    for segment in segments:
        box = boxes[segment["id"] - 1]
        if box is None:  # what came later covers it, pixel by pixel
            continue
        rows, columns = box
        described.append(
            PredictedSegment(
                id=segment["id"],
                category_id=segment["category_id"],
                name=categories.names[segment["category_id"]],
                isthing=bool(segment["isthing"]),
                score=float(segment["score"]),
                area=int(areas[segment["id"]]),
                box=(columns.start, rows.start, columns.stop, rows.stop),
                query=segment["query"],
            )
        )
    return described
