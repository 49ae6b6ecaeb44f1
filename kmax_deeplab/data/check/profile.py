"""What a dataset asks of a model: a COCO-panoptic JSON enters, measures and proposals leave.

No image is opened. Areas and boxes are those that the JSON states; where it may be wrong, give what
`image_check.fixed_content` makes of it.

A thing is *small* if the network sees fewer than SMALL_AREA pixels of it: at stride 4, where masks
are drawn, that is less than four cells. Crowds are left out throughout, as in training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kmax_deeplab.data.format.measures import count_queries

SMALL_SIDE = 8
SMALL_AREA = SMALL_SIDE**2
"""In pixels of the network's input."""
MOST_SMALL = 0.05
"""Share of small things that proposals leave."""
STEP = 32
"""Inputs are 32k + 1 pixels wide and high."""
REMEDY = "python datasets/check.py --fix OUT.json writes a JSON with what is missing"


@dataclass(frozen=True)
class ClassProfile:
    """How often a class occurs: segments, images with it, and its share of the labelled pixels."""

    name: str
    is_thing: bool
    segments: int
    images: int
    share: float


@dataclass(frozen=True)
class Profile:
    """Measures of the annotated images of a dataset and of their segments, crowds left out.

    Attributes:
        sizes: (I, 2) height and width of each image in pixels.
        needed: queries that each image needs, I of them.
        names: of the classes.
        is_thing_class: (K,) whether a class is a thing.
        image: (M,) the image that each segment lies in, an index into `sizes`.
        category: (M,) its class, an index into `names`.
        areas: (M,) its pixels.
        boxes: (M, 4) left, top, width and height in pixels.
    """

    sizes: np.ndarray
    needed: tuple[int, ...]
    names: tuple[str, ...]
    is_thing_class: np.ndarray
    image: np.ndarray
    category: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    @property
    def is_thing(self) -> np.ndarray:
        """(M,) whether each segment is a thing."""
        return self.is_thing_class[self.category]

    @property
    def longest_sides(self) -> np.ndarray:
        """(I,) the longer side of each image in pixels."""
        return self.sizes.max(axis=1)

    @property
    def thing_areas(self) -> np.ndarray:
        """(T,) pixels of each thing."""
        return self.areas[self.is_thing]

    @property
    def thing_sides(self) -> np.ndarray:
        """(T,) the longer side of each thing's box in pixels."""
        return self.boxes[self.is_thing, 2:].max(axis=1, initial=0)

    @property
    def one_size(self) -> bool:
        """Whether all images have the same height and width."""
        return bool((self.sizes == self.sizes[0]).all())


def profile_dataset(content: Mapping) -> Profile:
    """Measures a dataset.

    Args:
        content: of a COCO-panoptic JSON that `contents.read_panoptic` accepts. Images without
            annotation are left out, as in training.

    Raises:
        ValueError: an image lacks height or width, or a segment area or box; nothing is annotated;
            a segment has a class that is not listed.
    """
    listed = {category["id"]: index for index, category in enumerate(content["categories"])}
    is_thing_class = np.array([bool(c["isthing"]) for c in content["categories"]], dtype=bool)
    images = {image["id"]: image for image in content["images"]}
    sizes, needed, rows = [], [], []
    for annotation in content["annotations"]:
        sizes.append(_size(images, annotation["image_id"]))
        counted = [s for s in annotation["segments_info"] if not s.get("iscrowd", 0)]
        for segment in counted:
            rows.append((len(sizes) - 1, *_measures(segment, listed, annotation["file_name"])))
        kinds = (is_thing_class[listed[s["category_id"]]] for s in counted)
        needed.append(
            count_queries({**s, "isthing": k} for s, k in zip(counted, kinds, strict=True))
        )
    if not sizes:
        raise ValueError("no image of the dataset is annotated")
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return Profile(
        sizes=np.array(sizes),
        needed=tuple(needed),
        names=tuple(str(category["name"]) for category in content["categories"]),
        is_thing_class=is_thing_class,
        image=table[:, 0].astype(np.int64),
        category=table[:, 1].astype(np.int64),
        areas=table[:, 2],
        boxes=table[:, 3:],
    )


def join_profiles(profiles: Sequence[Profile]) -> Profile:
    """Makes one of several datasets; their classes are told apart by name."""
    kinds = {n: t for p in profiles for n, t in zip(p.names, p.is_thing_class, strict=True)}
    names = tuple(kinds)
    starts = np.cumsum([0, *(len(p.sizes) for p in profiles)])
    order = [np.array([names.index(name) for name in p.names]) for p in profiles]
    return Profile(
        sizes=np.concatenate([p.sizes for p in profiles]),
        needed=tuple(count for p in profiles for count in p.needed),
        names=names,
        is_thing_class=np.array(list(kinds.values()), dtype=bool),
        image=np.concatenate([p.image + s for p, s in zip(profiles, starts[:-1], strict=True)]),
        category=np.concatenate([o[p.category] for p, o in zip(profiles, order, strict=True)]),
        areas=np.concatenate([p.areas for p in profiles]),
        boxes=np.concatenate([p.boxes for p in profiles]),
    )


def profile_classes(profile: Profile) -> list[ClassProfile]:
    """Counts the segments, images and pixels of every class, in the order of the JSON."""
    count = len(profile.names)
    segments = np.bincount(profile.category, minlength=count)
    pixels = np.bincount(profile.category, profile.areas, minlength=count)
    pairs = np.unique(np.stack((profile.category, profile.image)), axis=1)
    images = np.bincount(pairs[0], minlength=count)
    shares = pixels / max(pixels.sum(), 1)
    rows = zip(profile.names, profile.is_thing_class, segments, images, shares, strict=True)
    return [ClassProfile(n, bool(t), int(s), int(i), float(p)) for n, t, s, i, p in rows]


def small_share(profile: Profile, side: int, tile: int = 0) -> float:
    """Returns the share of things that are small when the network sees them, 0 without things.

    Args:
        profile: of the dataset.
        side: pixels that an image's longer side is resized to (INPUT.MIN_SIZE_TEST and
            MAX_SIZE_TEST alike), or that of a window.
        tile: side in the image's pixels of the windows it is looked at in; 0: it is seen whole.
    """
    if not profile.is_thing.any():
        return 0.0
    scales = side / tile if tile else _fit_scales(profile, side)
    return float((profile.thing_areas * scales**2 < SMALL_AREA).mean())


def least_input(profile: Profile, most: float = MOST_SMALL) -> int:
    """Returns the least side, 32k + 1 pixels, of an input that leaves few small things.

    Args:
        profile: of the dataset.
        most: share of things that may be small.
    """
    if not profile.is_thing.any():
        return STEP + 1
    longest = profile.longest_sides[profile.image[profile.is_thing]]
    wanted = longest * SMALL_SIDE / np.sqrt(np.maximum(profile.thing_areas, 1))
    side = np.sort(wanted)[::-1][int(most * len(wanted))]
    return max(int(np.ceil((side - 1) / STEP)), 1) * STEP + 1


def widest_tile(profile: Profile, side: int, most: float = MOST_SMALL) -> int:
    """Returns the side of the widest windows, resized to an input, that leave few small things.

    Args:
        profile: of a dataset with things.
        side: of the input in pixels.
        most: share of things that may be small.
    """
    area = np.sort(profile.thing_areas)[int(most * len(profile.thing_areas))]
    return max(int(side * np.sqrt(area) / SMALL_SIDE), 1)


def describe_quantiles(values: Sequence[float]) -> str:
    """Says how large values are: half, nine tenths between, the largest."""
    if not len(values):
        return "none"
    least, low, middle, high, most = np.quantile(values, (0, 0.05, 0.5, 0.95, 1))
    return f"{least:.0f} to {most:.0f}, half at most {middle:.0f}, 90% from {low:.0f} to {high:.0f}"


def _fit_scales(profile: Profile, side: int) -> np.ndarray:
    """Returns (T,) factors by which things are resized when images fit into an input."""
    return side / profile.longest_sides[profile.image[profile.is_thing]]


def _size(images: Mapping, image_id: object) -> tuple[int, int]:
    image = images.get(image_id)
    if image is None:
        raise ValueError(f"an annotation is of image {image_id!r}, which is not among the images")
    if "height" not in image or "width" not in image:
        raise ValueError(f"image {image_id!r} ({image['file_name']}) lacks 'height' or 'width'")
    return image["height"], image["width"]


def _measures(segment: Mapping, listed: Mapping, file_name: str) -> tuple[float, ...]:
    """Returns class, area and box of a segment."""
    where = f"segment {segment['id']} of {file_name}"
    if segment["category_id"] not in listed:
        raise ValueError(f"{where} has the category {segment['category_id']!r}, which is no class")
    area, box = segment.get("area"), segment.get("bbox")
    if not isinstance(area, int | float) or not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"{where} has the area {area!r} and the bbox {box!r}: {REMEDY}")
    return listed[segment["category_id"]], area, *box
