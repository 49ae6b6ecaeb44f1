"""Predicts images with a model exported by tools/export.py, without PyTorch.

    python tools/run_onnx.py model.onnx IMAGE_OR_FOLDER …
    python tools/run_onnx.py model.onnx photo.jpg --output seen --provider CUDAExecutionProvider

Needs onnxruntime, numpy and Pillow, and this script's project beside it, which need not be
installed. The file says which classes the model has and how images enter it. Written are
`predictions.json` and `predictions/*.png` in COCO's panoptic format, as tools/predict.py does, and
`overlays/*.png`. An image that cannot be read is named, counted and left out, and the exit status
is 1.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from kmax_deeplab import command
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.images import MAX_PIXELS, MAX_TILED_PIXELS
from kmax_deeplab.data.format.pngs import png_folder, write_ids, write_predictions_json
from kmax_deeplab.data.samples.reading import UnreadableImageError, read_image
from kmax_deeplab.predict.boxes import find_boxes
from kmax_deeplab.predict.images import name_images, require_apart
from kmax_deeplab.whole_files import write_png

CPU = "CPUExecutionProvider"
OPACITY = 0.6
"""Share of the class colour in a painted pixel."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="file of tools/export.py, .onnx")
    parser.add_argument("images", type=Path, nargs="+", help="images, or folders of images")
    parser.add_argument("--output", type=Path, default=Path("output/onnx"))
    parser.add_argument("--provider", default=CPU, help=f"of onnxruntime; default {CPU}")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; default: its cores")
    return parser.parse_args(arguments)


def describe(ids: np.ndarray, segments: list[dict], categories: Categories) -> list[dict]:
    """Returns the "segments_info" of COCO's panoptic format, with scores."""
    last = max((segment["id"] for segment in segments), default=0)
    areas, boxes = np.bincount(ids.ravel(), minlength=last + 1), find_boxes(ids, last)
    described = []
    for segment in segments:
        if box := boxes[segment["id"] - 1]:
            rows, columns = box
            size = [columns.stop - columns.start, rows.stop - rows.start]
            described.append(
                {
                    "id": segment["id"],
                    "category_id": categories.ids[segment["category_id"]],
                    "area": int(areas[segment["id"]]),
                    "bbox": [columns.start, rows.start, *size],
                    "score": round(segment["score"], 4),
                }
            )
    return described


def paint(
    image: np.ndarray, ids: np.ndarray, segments: list[dict], categories: Categories
) -> np.ndarray:
    """Paints every segment in the colour of its class, with a white edge; void stays as it is."""
    colors = np.zeros((max((s["id"] for s in segments), default=0) + 1, 3), np.float32)
    for segment in segments:
        colors[segment["id"]] = categories.colors[segment["category_id"]]
    painted = np.where(ids[..., None] > 0, OPACITY * colors[ids] + (1 - OPACITY) * image, image)
    painted[:, 1:][ids[:, 1:] != ids[:, :-1]] = 255
    painted[1:][ids[1:] != ids[:-1]] = 255
    return painted.astype(np.uint8)


def run(args: argparse.Namespace) -> int:
    """Predicts the images; returns how many could not be read."""
    if find_spec("onnxruntime") is None:
        raise ImportError("onnxruntime: not installed; pip install onnxruntime")
    from kmax_deeplab.runtime.onnx_session import open_onnx

    named = name_images(args.images)
    require_apart(named, args.output)
    model = open_onnx(args.model, (args.provider, CPU)[: 1 + (args.provider != CPU)], args.threads)
    json, categories, entries = args.output / "predictions.json", model.categories, []
    most = MAX_TILED_PIXELS if model.facts.inputs.tile else MAX_PIXELS
    for name, path in named.items():
        try:
            image = read_image(path, most)
        except UnreadableImageError as error:
            print(f"{path} cannot be read ({error.strerror})", file=sys.stderr)
            continue
        ids, segments = model(image)
        listed = describe(ids, segments, categories)
        picture = paint(image, ids, segments, categories)
        write_png(args.output / "overlays" / f"{name}.png", picture)
        write_ids(png_folder(json) / f"{name}.png", ids)
        entries.append({"image_id": name, "file_name": f"{name}.png", "segments_info": listed})
        print(f"{name}: {len(listed)} segments")
    write_predictions_json(json, entries, categories.to_json())
    print(f"{json}: {len(entries)} images")
    return len(named) - len(entries)


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 if an image could not be read."""
    args = parse_args(arguments)
    command.run(lambda: int(run(args) > 0))


if __name__ == "__main__":
    main()
