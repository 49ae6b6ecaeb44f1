"""Draws one scene of the "shapes" dataset: things told apart by shape on textured stuff.

What enters: a random generator and the image size. What leaves: an RGB image, its map of segment
ids and the COCO-panoptic description of the segments. A horizon and a border, both wavy, part the
stuff; things of random size, rotation and stretch, each with the relief and a colour of its class,
cover each other; now and then there is a cluster of tiny shapes (a crowd segment) or something
without a label (void).
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

CATEGORIES = (
    {"id": 3, "name": "sky", "supercategory": "stuff", "isthing": 0, "color": [120, 170, 220]},
    {"id": 7, "name": "disc", "supercategory": "thing", "isthing": 1, "color": [220, 60, 60]},
    {"id": 11, "name": "grass", "supercategory": "stuff", "isthing": 0, "color": [90, 160, 60]},
    {"id": 18, "name": "square", "supercategory": "thing", "isthing": 1, "color": [240, 200, 40]},
    {"id": 23, "name": "water", "supercategory": "stuff", "isthing": 0, "color": [40, 90, 160]},
    {"id": 31, "name": "triangle", "supercategory": "thing", "isthing": 1, "color": [200, 60, 220]},
    {"id": 42, "name": "sand", "supercategory": "stuff", "isthing": 0, "color": [210, 190, 140]},
    {"id": 56, "name": "star", "supercategory": "thing", "isthing": 1, "color": [60, 220, 200]},
)
CATEGORY_IDS = {category["name"]: category["id"] for category in CATEGORIES}
THINGS = tuple(category["name"] for category in CATEGORIES if category["isthing"])
HUES = {"disc": 0, "square": 90, "triangle": 180, "star": 270}
HUE_SPREAD = 55  # degrees to either side: the colours of two classes overlap, shape and relief tell
GROUNDS = ("grass", "water", "sand")
LEAST_VISIBLE = 0.4  # share of a thing that later things must leave uncovered
LEAST_AREA = 0.004  # share of the image below which a segment is left unlabelled


@dataclass
class Canvas:
    """An image in the making: float colours (H, W, 3), segment ids (H, W), id -> segment."""

    image: np.ndarray
    ids: np.ndarray
    segments: dict[int, dict] = field(default_factory=dict)

    def paint(self, mask: np.ndarray, colours: np.ndarray, name: str, iscrowd: int = 0) -> int:
        """Covers a (H, W) bool mask with colours that broadcast to (H, W, 3); returns the id."""
        category = CATEGORY_IDS[name]
        segment_id = 1000 * category + sum(
            segment["category_id"] == category for segment in self.segments.values()
        )
        self.image[mask] = np.broadcast_to(colours, self.image.shape)[mask]
        self.ids[mask] = segment_id
        self.segments[segment_id] = {
            "id": segment_id,
            "category_id": category,
            "iscrowd": iscrowd,
        }
        return segment_id


def texture(name: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws a (size, size, 3) float32 texture of a stuff class in a random shade."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    noise = rng.standard_normal((size, size)).astype(np.float32)
    if name == "sky":
        base, pattern = (150, 180, 215), 45 * rows / size + 60 * cv2.GaussianBlur(noise, (0, 0), 6)
    elif name == "grass":
        base, pattern = (85, 140, 60), 55 * cv2.blur(noise, (1, 7))
    elif name == "water":
        length, drift = rng.uniform(5, 9), rng.uniform(8, 16)
        base = (50, 100, 150)
        pattern = 18 * np.sin(2 * np.pi * rows / length + 2 * np.sin(columns / drift)) + 3 * noise
    else:
        base, pattern = (195, 170, 125), 22 * noise
    return np.float32(base) + rng.uniform(-18, 18, 3).astype(np.float32) + pattern[..., None]


def wavy_line(rng: np.random.Generator, size: int, level: float) -> np.ndarray:
    """Draws a (size,) curve around a level: a slope and two random waves, in pixels."""
    position = np.linspace(0, 1, size, dtype=np.float32)
    curve = level + rng.uniform(-0.15, 0.15) * (position - 0.5)
    for frequency, amplitude in ((1, 0.06), (2.5, 0.03)):
        phase = rng.uniform(0, 2 * np.pi)
        curve += amplitude * np.sin(2 * np.pi * frequency * position + phase)
    return size * curve


def paint_background(canvas: Canvas, rng: np.random.Generator) -> None:
    """Covers the canvas with one or two kinds of ground below a sky that is sometimes missing."""
    size = len(canvas.ids)
    rows, columns = np.mgrid[:size, :size]
    horizon = (
        wavy_line(rng, size, rng.uniform(0.25, 0.55)) if rng.random() < 0.85 else np.zeros(size)
    )
    border = wavy_line(rng, size, rng.uniform(0.3, 0.7)) if rng.random() < 0.6 else np.zeros(size)
    sky = rows < horizon[None, :]
    left = ~sky & (columns < border[:, None])
    first, second = rng.choice(GROUNDS, 2, replace=False)
    for name, mask in (("sky", sky), (first, left), (second, ~sky & ~left)):
        if mask.any():
            canvas.paint(mask, texture(name, rng, size), name)


def outline(name: str) -> np.ndarray:
    """Returns the corners of a shape of radius 1 around the origin: (corners, 2)."""
    corners = {"disc": 40, "square": 4, "triangle": 3, "star": 10}[name]
    angles = np.arange(corners) * (2 * np.pi / corners)
    radii = np.where(np.arange(corners) % 2, 0.45, 1.0) if name == "star" else np.ones(corners)
    return radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)


@dataclass(frozen=True)
class Pose:
    """Where a shape of radius 1 around the origin comes to lie: centre + local @ axes, pixels."""

    centre: np.ndarray
    axes: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, centre: np.ndarray, radius: float) -> "Pose":
        """Draws a rotation and a slight stretch for a shape of the given radius in pixels."""
        angle, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.15)
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return cls(centre, radius * np.diag((stretch, 1 / stretch)) @ rotation)

    def mask(self, name: str, size: int) -> np.ndarray:
        """Fills a shape's outline: (size, size) bool."""
        corners = self.centre + outline(name) @ self.axes
        mask = np.zeros((size, size), np.uint8)
        cv2.fillPoly(mask, [np.round(16 * corners).astype(np.int32)], 1, shift=4)
        return mask.astype(bool)

    def relief(self, name: str, size: int) -> np.ndarray:
        """Draws the light and dark of a shape's surface, which turns with it: (size, size, 1)."""
        columns_rows = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
        u, v = np.moveaxis((columns_rows - self.centre) @ np.linalg.inv(self.axes), -1, 0)
        radius = np.hypot(u, v)
        light = {
            "disc": 1.25 - 0.8 * radius**2,  # a ball
            "square": np.where(np.minimum(np.abs(u), np.abs(v)) < 0.14, 0.45, 1.05),  # a crossbar
            "triangle": np.where(np.sin(9 * v) > 0, 1.15, 0.6),  # stripes
            "star": 1.5 - radius,  # a glow
        }[name]
        return light.astype(np.float32)[..., None]


def random_colour(name: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws a vivid colour of a class, shaded along a random direction: (size, size, 3) float32."""
    hue = (HUES[name] + rng.uniform(-HUE_SPREAD, HUE_SPREAD)) % 360
    hsv = np.float32([[[hue, rng.uniform(0.65, 1), rng.uniform(0.55, 1)]]])
    slope = rng.uniform(-0.35, 0.35, 2)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    shade = 1 + slope[0] * ramp[:, None] + slope[1] * ramp[None, :]
    return 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * shade[..., None].astype(np.float32)


def paint_things(canvas: Canvas, rng: np.random.Generator) -> None:
    """Puts 2 to 5 things on the canvas; one that would all but hide another is drawn anew."""
    size = len(canvas.ids)
    wanted, areas = rng.integers(2, 6), {}
    for _ in range(8 * wanted):
        name, radius = rng.choice(THINGS), size * rng.uniform(0.14, 0.27)
        pose = Pose.draw(rng, rng.uniform(0.08, 0.92, 2) * size, radius)
        mask = pose.mask(name, size)
        visible = {key: np.count_nonzero((canvas.ids == key) & ~mask) for key in areas}
        if all(visible[key] >= LEAST_VISIBLE * area for key, area in areas.items()):
            colours = random_colour(name, rng, size) * pose.relief(name, size)
            key = canvas.paint(mask, colours, name)
            areas[key] = np.count_nonzero(mask)
        if len(areas) == wanted:
            return


def paint_crowd(canvas: Canvas, rng: np.random.Generator) -> None:
    """Scatters a cluster of tiny shapes of one class, labelled as one crowd segment."""
    size, name = len(canvas.ids), rng.choice(THINGS)
    centre = rng.uniform(0.2, 0.8, 2) * size
    mask = np.zeros_like(canvas.ids, bool)
    for _ in range(rng.integers(8, 15)):
        offset = rng.normal(0, 0.07 * size, 2)
        mask |= Pose.draw(rng, centre + offset, 0.028 * size).mask(name, size)
    canvas.paint(mask, random_colour(name, rng, size), name, iscrowd=1)


def paint_void(canvas: Canvas, rng: np.random.Generator) -> None:
    """Hides a part of the canvas behind something without a label: a grey blob or a dark frame."""
    size = len(canvas.ids)
    mask = np.zeros((size, size), np.uint8)
    if rng.random() < 0.6:
        centre, axes = rng.uniform(0.1, 0.9, 2) * size, rng.uniform(0.05, 0.15, 2) * size
        cv2.ellipse(mask, (tuple(centre), tuple(2 * axes), rng.uniform(0, 180)), 1, -1)
    else:
        width = int(rng.integers(2, max(size // 20, 3) + 1))
        mask[:] = np.pad(np.zeros((size - 2 * width,) * 2, np.uint8), width, constant_values=1)
    grey = rng.uniform(40, 120) + 12 * rng.standard_normal((size, size, 1))
    canvas.image[mask > 0] = np.broadcast_to(grey, canvas.image.shape)[mask > 0]
    canvas.ids[mask > 0] = 0


def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """Draws one image.

    Returns:
        RGB image (size, size, 3) uint8, segment ids (size, size) int32 (0 is void), and the COCO
        segments with id, category_id, iscrowd, area (pixels) and bbox (x, y, width, height).
    """
    canvas = Canvas(np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.int32))
    paint_background(canvas, rng)
    if rng.random() < 0.15:
        paint_crowd(canvas, rng)
    paint_things(canvas, rng)
    if rng.random() < 0.3:
        paint_void(canvas, rng)
    segments = [measured for s in canvas.segments.values() if (measured := measure(canvas.ids, s))]
    light = np.linspace(*rng.uniform(0.75, 1.15, 2), size)[:, None]
    image = cv2.GaussianBlur(canvas.image, (3, 3), 0.6) * light[..., None]
    image += rng.normal(0, 4, image.shape)
    return image.clip(0, 255).astype(np.uint8), canvas.ids, segments


def measure(ids: np.ndarray, segment: dict) -> dict | None:
    """Adds area and box to a segment; one too small to see becomes void and gives None."""
    mask = ids == segment["id"]
    area = int(np.count_nonzero(mask))  # numpy's own integers cannot be written to a JSON
    if area < LEAST_AREA * ids.size:
        ids[mask] = 0
        return None
    return {**segment, "area": area, "bbox": list(cv2.boundingRect(mask.astype(np.uint8)))}
