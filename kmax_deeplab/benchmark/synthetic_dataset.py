"""A panoptic dataset on disk without data: a folder, sizes and a generator enter, files leave.

Images are photo-like noise of a real JPEG's weight, with as many segments as COCO has, for that is
what reading them takes its time from.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from kmax_deeplab.benchmark.synthetic import voronoi_map
from kmax_deeplab.data.format.pngs import MAX_ID, write_ids
from kmax_deeplab.structures import VOID

SEGMENTS = 11
"""Segments per image at most, COCO's mean; ids are spread over all three bytes of a colour."""
CATEGORIES = 8
BLOB = 16
"""Pixels between the colours from which a photo's smooth part is interpolated."""
DETAIL = 6.0
"""Standard deviation of the noise of single pixels: 640 × 480 pixels then take about 130 kB."""
QUALITY = 90
"""JPEG quality."""
PLACES = {"images": "images", "json": "panoptic.json", "pngs": "pngs"}
"""Where the parts of the dataset lie below its folder, as DATASETS.PANOPTIC names them."""


def write_synthetic_dataset(
    folder: Path,
    count: int,
    size: tuple[int, int],
    generator: torch.Generator,
    categories: int = CATEGORIES,
) -> dict[str, str]:
    """Writes a panoptic dataset of JPEGs and PNGs.

    Args:
        folder: where to write it.
        count: number of images.
        size: (H, W) of the images in pixels.
        generator: source of all randomness.
        categories: number of them; the first half are things.

    Returns:
        Paths by the names of `PLACES`.
    """
    places = {name: folder / place for name, place in PLACES.items()}
    places["images"].mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        name = f"{number}.jpg"
        make_photo(size, generator).save(places["images"] / name, quality=QUALITY)
        ids = make_ids(size, generator)
        write_ids(places["pngs"] / f"{number}.png", ids.numpy())
        images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
        annotations.append(
            {
                "image_id": number,
                "file_name": f"{number}.png",
                "segments_info": draw_segments_info(ids, generator, categories),
            }
        )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": list_categories(categories),
    }
    places["json"].write_text(json.dumps(content), encoding="utf-8")
    return {name: str(place) for name, place in places.items()}


def make_photo(size: tuple[int, int], generator: torch.Generator) -> Image.Image:
    """Invents an RGB image of (H, W) pixels: smooth colours under the noise of single pixels."""
    blobs = tuple(max(side // BLOB, 1) for side in size)
    colors = 255 * torch.rand(1, 3, *blobs, generator=generator)
    smooth = F.interpolate(colors, size, mode="bilinear")[0]  # (3, H, W)
    noisy = smooth + DETAIL * torch.randn(3, *size, generator=generator)
    return Image.fromarray(noisy.clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())


def make_ids(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Invents the segment ids of an image, (H, W) int64, 0 where void."""
    cells = voronoi_map(SEGMENTS, size, generator)
    return torch.where(cells == VOID, 0, (cells + 1) * (MAX_ID // SEGMENTS))


def draw_segments_info(ids: Tensor, generator: torch.Generator, categories: int) -> list[dict]:
    """Lists the segments of an image with random categories."""
    present = [segment_id for segment_id in ids.unique().tolist() if segment_id]
    drawn = torch.randint(categories, (len(present),), generator=generator).tolist()
    return [
        {"id": segment_id, "category_id": category, "iscrowd": 0}
        for segment_id, category in zip(present, drawn, strict=True)
    ]


def list_categories(count: int) -> list[dict]:
    """Lists categories, the first half of which are things."""
    return [
        {"id": index, "name": f"class {index}", "isthing": int(2 * index < count)}
        for index in range(count)
    ]
