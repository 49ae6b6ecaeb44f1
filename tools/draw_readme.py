"""Draws the picture of README: cells that were drawn, what the model in the box sees, its clusters.

python tools/draw_readme.py
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from kmax_deeplab.predict.box import BOX
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.visualize.cluster_maps import query_palette
from kmax_deeplab.visualize.overlays import magnify
from kmax_deeplab.whole_files import write_png

ROOT = Path(__file__).parents[1]
SIZE, COUNT, SEED = (128, 192), 26, 11
"""Of the drawn cells: pixels, how many are tried, and what decides the rest."""
FACTOR, GAP = 3, 12
"""How much the picture is enlarged, and the white pixels between its parts."""


def draw(weights: Path) -> np.ndarray:
    """Returns the picture, (H, W, 3) uint8."""
    sys.path.insert(0, str(ROOT / "datasets"))
    from cells_scene import draw_cells

    image, _ = draw_cells(SIZE, COUNT, SEED)
    large = magnify(image, FACTOR)
    seen = Predictor(weights)(image)
    square = image[:, : SIZE[0]]
    clusters = Predictor(weights, tile=0)(square).clusters[0]
    shaded = query_palette(seen.num_queries)[clusters] * (0.5 + square.mean(2, keepdims=True) / 510)
    parts = [large, magnify(seen.draw(), FACTOR), magnify(shaded.round().astype(np.uint8), FACTOR)]
    white = np.full((large.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([parts[0], white, parts[1], white, parts[2]], axis=1)


def main(arguments: list[str] | None = None) -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=BOX)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "nuclei.png")
    args = parser.parse_args(arguments)
    write_png(args.output, draw(args.weights))
    print(args.output)


if __name__ == "__main__":
    main()
