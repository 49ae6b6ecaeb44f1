"""The paper's idea as one picture: the k-means layers of an image enter, a page of maps leaves.

Above, who owns each pixel, layer by layer; below, how that settles, and what each query says.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.structures import VOID
from kmax_deeplab.visualize.cluster_layers import ClusterLayer, changed_minds, changed_pixels
from kmax_deeplab.visualize.cluster_maps import query_palette

DPI = 110
PANEL = 2.5
"""Side of a map in inches."""
MOST_IN_A_ROW = 5
MOST_QUERIES = 24
"""That are followed one by one: those with most pixels in the end."""
DARK = 0.3
"""Brightness of pixels whose query says that they are nothing."""
SHADING = 0.25
"""Share of a pixel's brightness that comes from the image."""
INK, FAINT = "#222226", "#8a8a92"
EXPLAINED = (
    "A query is a cluster centre. Each k-means layer gives every pixel to the query that fits it "
    "best (one colour per query, the same in all maps), then moves the centres.\n"
    "Bright: the query says what its pixels are. Dark: it says that they are nothing. "
    "In the end every bright cluster is a segment, if it is sure enough."
)


def paint_layer(layer: ClusterLayer, image: np.ndarray) -> np.ndarray:
    """Colours every pixel by its query, dark where that says that it is nothing.

    Args:
        layer: of the image.
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    colors = query_palette(len(layer.classes)).astype(float)
    colors[layer.classes == VOID] *= DARK
    brightness = image.mean(axis=2, keepdims=True) / 255  # (H, W, 1)
    painted = colors[layer.clusters] * (1 - SHADING + SHADING * brightness)
    return painted.round().astype(np.uint8)


def draw_strip(
    image: np.ndarray,
    layers: Sequence[ClusterLayer],
    segments: np.ndarray,
    categories: Categories,
    title: str,
) -> np.ndarray:
    """Draws the page of an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        layers: see `read_layers`.
        segments: (H', W', 3) uint8 RGB, the image with its segments.
        categories: names and colours of the classes.
        title: of the page.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    panels = [("the image", "", image), *_maps(layers, image), ("its segments", "", segments)]
    columns = len(panels) if len(panels) <= MOST_IN_A_ROW else -(-len(panels) // 2)
    rows, ratio = -(-len(panels) // columns), image.shape[0] / image.shape[1]
    heights = [0.75, *[PANEL * ratio + 0.55] * rows, 3.6]
    figure = Figure((PANEL * columns + 0.4, sum(heights)), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05)
    top, *middle, bottom = figure.subfigures(rows + 2, 1, height_ratios=heights)
    top.text(0.01, 0.95, title, fontsize=13, weight="bold", color=INK, va="top")
    top.text(0.01, 0.52, EXPLAINED, fontsize=8.5, color=INK, va="top", linespacing=1.4)
    for row, part in enumerate(middle):
        _draw_row(part, panels[row * columns :][:columns], columns)
    settling, paths, saying = bottom.subplots(1, 3, width_ratios=[1, 1, 1.25])
    _draw_settling(settling, layers)
    _draw_paths(paths, layers, image)
    _draw_saying(saying, layers, categories)
    return _as_pixels(figure)


def _maps(layers: Sequence[ClusterLayer], image: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    panels = []
    for layer in layers:
        name = "final" if layer is layers[-1] else f"k-means {layer.name}"
        said = f"{len(layer.owners)} queries own pixels, {len(layer.found)} say what"
        panels.append((f"{name}, stride {layer.stride}", said, paint_layer(layer, image)))
    return panels


def _draw_row(part: Figure, panels: Sequence[tuple[str, str, np.ndarray]], columns: int) -> None:
    axes = np.atleast_1d(part.subplots(1, columns))
    for axis, (title, said, picture) in zip(axes, panels, strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=9, color=INK, pad=3)
        axis.set_xlabel(said or " ", fontsize=7.5, color=FAINT, labelpad=2)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)


def _draw_settling(axis: Axes, layers: Sequence[ClusterLayer]) -> None:
    """Draws the share of pixels, and the number of queries, that change from layer to layer."""
    names = [layer.name for layer in layers]
    shares = [100 * share for share in changed_pixels(layers)]
    places = range(1, len(layers))
    bars = axis.bar(places, shares, color="#7aa6d8", width=0.65)
    minds = changed_minds(layers)
    labels = [f"{share:.2g} %\n{n} queries" for share, n in zip(shares, minds, strict=True)]
    axis.bar_label(bars, labels, fontsize=7.5, color=INK, padding=2)
    axis.set_title("How it settles", fontsize=9, color=INK, loc="left")
    axis.set_xlabel(
        "pixels that get another query than before,\nand queries that say another class",
        fontsize=7.5,
        color=FAINT,
    )
    axis.set_xticks(range(1, len(layers)), names[1:], fontsize=7.5, rotation=30, ha="right")
    axis.set(ylim=(0, 1.3 * max([*shares, 1])), xlim=(0.4, len(layers) - 0.4), yticks=[])
    axis.spines[["top", "left", "right"]].set_visible(False)


def _draw_paths(axis: Axes, layers: Sequence[ClusterLayer], image: np.ndarray) -> None:
    """Draws how the middle of each found cluster moves from the first layer to the last."""
    axis.imshow((0.35 * image.mean(axis=2)).astype(np.uint8), cmap="gray", vmin=0, vmax=255)
    centers = np.stack([layer.centers for layer in layers])  # (layers, Q, 2)
    colors = query_palette(len(layers[-1].classes)) / 255
    for query in layers[-1].found[: 4 * MOST_QUERIES]:
        way = centers[:, query]
        axis.plot(*way.T, color=colors[query], linewidth=0.9, alpha=0.8)
        axis.plot(*way[-1], "o", color=colors[query], markersize=4)
    axis.set_title("How the centres move", fontsize=9, color=INK, loc="left")
    axis.set_xlabel(
        "middle of each cluster's pixels, from the\nfirst layer to the last (dot)",
        fontsize=7.5,
        color=FAINT,
    )
    axis.set(xticks=[], yticks=[])


def _draw_saying(axis: Axes, layers: Sequence[ClusterLayer], categories: Categories) -> None:
    """Draws of each query with a segment, layer by layer, the class that it says."""
    queries = layers[-1].found[:MOST_QUERIES]
    colors = np.array([*categories.colors, (40, 40, 44)]) / 255  # the last: void
    cells = np.ones((max(len(queries), 1), len(layers), 3))
    for column, layer in enumerate(layers):
        sure = layer.probs[queries, None]
        cells[: len(queries), column] = sure * colors[layer.classes[queries]] + (1 - sure)
    axis.imshow(cells, aspect="auto", interpolation="nearest")
    axis.set_xticks(range(len(layers)), [x.name for x in layers], fontsize=7.5, rotation=30)
    names = [f"{categories.names[layers[-1].classes[q]][:18]} · {q}" for q in queries]
    axis.set_yticks(range(len(queries)), names, fontsize=6)
    axis.yaxis.tick_right()
    axis.tick_params(length=0)
    for label, query in zip(axis.get_yticklabels(), queries, strict=False):
        label.set_color(tuple(0.75 * query_palette(query + 1)[-1] / 255))
    shown = f"the {len(queries)} largest of " if len(queries) < len(layers[-1].found) else ""
    axis.set_title("What each query says", fontsize=9, color=INK, loc="left")
    said = f"{shown}{len(layers[-1].found)} queries with pixels; colour: class, dark: nothing"
    axis.set_xlabel(f"{said};\npale: unsure", fontsize=7.5, color=FAINT)
    axis.spines[:].set_visible(False)


def _as_pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return np.asarray(Image.open(buffer).convert("RGB"))
