"""From queries to segments: k-means layers of an image enter, a strip of captioned pictures leaves.

Every query has a colour unlike those of the classes, the same in all layers, and its number in it.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import Prediction
from kmax_deeplab.visualize.cluster_maps import assignment_map, paint_assignment, query_palette
from kmax_deeplab.visualize.examples import Panel, Segmentation, enlargement
from kmax_deeplab.visualize.overlays import (
    SMALLER,
    VOID_BRIGHTNESS,
    boundaries,
    find_boxes,
    magnify,
    segment_titles,
    write_inside,
)
from kmax_deeplab.visualize.views import enlarge, hatch

PALE = 0.45
"""Share of white in the colour of a query: classes have strong ones."""
MOST_NAMED = 12
"""Segments that a caption names with their queries."""


def layer_panels(
    image: np.ndarray,
    predictions: Sequence[Prediction],
    geometry: Geometry,
    segmentation: Segmentation,
    categories: Categories,
) -> list[Panel]:
    """Draws the pixel-to-cluster assignment of every k-means layer and of the final predictor.

    The last picture leads from the queries to the segments that were made of them.

    Args:
        image: (H, W, 3) uint8 RGB, the image of a batch of one.
        predictions: k-means layers in order, the final prediction last.
        geometry: where the image lies in the network input.
        segmentation: what was predicted in the end.
        categories: names and colours of the classes, which the queries do not look like.
    """
    panels, factor = [], enlargement(image)
    large = 255 - (255 - magnify(image, factor)) // 2  # pale, too
    palette = query_palette(predictions[-1].mask_logits.shape[1], categories.colors)
    palette = (PALE * 255 + (1 - PALE) * palette).round().astype(np.uint8)
    for index, prediction in enumerate(predictions):
        mask_logits = prediction.mask_logits[0].float().cpu().numpy()  # (Q, h, w)
        clusters = assignment_map(mask_logits, geometry)  # (H, W)
        final = index == len(predictions) - 1
        caption = "final" if final else f"k-means layer {index}"
        stride, used = _stride(mask_logits.shape[1:], geometry), len(np.unique(clusters))
        remark = f"stride {stride}, {used} of {len(mask_logits)} clusters in use"
        picture = _with_numbers(enlarge(clusters, factor), large, palette)
        panels.append(Panel(picture, caption, remark))
    panels.append(_by_query(clusters, large, segmentation, categories, palette))
    return panels


def _with_numbers(clusters: np.ndarray, image: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Paints clusters, and writes the number of each query into its pixels."""
    picture = paint_assignment(clusters, image, palette)
    picture[boundaries(clusters)] = 0
    canvas = Image.fromarray(picture)
    for query, box in find_boxes(clusters + 1).items():
        corner = np.array([box[1].start, box[0].start])
        color = tuple(palette[query - 1].tolist())
        mask, text = clusters[box] == query - 1, f"q{query - 1}"
        if not write_inside(canvas, mask, corner, text, color):
            write_inside(canvas, mask, corner, text, color, scale=SMALLER)
    return np.asarray(canvas).copy()


def _by_query(
    clusters: np.ndarray,
    image: np.ndarray,
    segmentation: Segmentation,
    categories: Categories,
    palette: np.ndarray,
) -> Panel:
    """Paints each segment in the colour of the query that owns most of its pixels."""
    owners = find_owners(clusters, segmentation)
    ids = enlarge(segmentation.panoptic, len(image) // len(clusters))
    queries, none = np.zeros(ids.shape, np.int64), ~np.isin(ids, list(owners))
    for i, query in owners.items():
        queries[ids == i] = query
    picture = paint_assignment(queries, image, palette)
    picture[none] = image[none] * VOID_BRIGHTNESS
    picture[boundaries(ids)] = 0
    canvas, boxes = Image.fromarray(hatch(picture, none)), find_boxes(ids)
    titles = segment_titles(segmentation.segments_info, categories)
    texts = {i: f"{' '.join(titles[i]).strip()}: q{owners[i]}" for i in owners}
    for i, query in owners.items():
        mask, corner = ids[boxes[i]] == i, np.array([side.start for side in boxes[i][::-1]])
        color = tuple(palette[query].tolist())
        if not write_inside(canvas, mask, corner, texts[i], color):
            write_inside(canvas, mask, corner, f"q{query}", color, scale=SMALLER)
    named = list(texts.values())
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return Panel(
        np.asarray(canvas).copy(), "segments, by query", ", ".join(named[:MOST_NAMED]) + more
    )


def find_owners(clusters: np.ndarray, segmentation: Segmentation) -> dict[int, int]:
    """Returns by segment the query that owns most of its pixels.

    Args:
        clusters: (H, W) query of each pixel.
        segmentation: of as many pixels; segments without a pixel are left out.
    """
    owned = {
        s["id"]: clusters[segmentation.panoptic == s["id"]] for s in segmentation.segments_info
    }
    return {i: int(np.bincount(queries).argmax()) for i, queries in owned.items() if queries.size}


def _stride(grid: tuple[int, int], geometry: Geometry) -> int:
    """Returns the pixels of the network input between neighbouring grid points."""
    corner = int(geometry.align_corners)
    return round((geometry.padded[1] - corner) / max(grid[1] - corner, 1))
