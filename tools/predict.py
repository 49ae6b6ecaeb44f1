"""Predicts images without ground truth: panoptic PNGs with their JSON, and painted overlays.

    python tools/predict.py --config-file output/mine/config.yaml \
        --weights output/mine/model_final.pth --output output/predictions IMAGE_OR_FOLDER …

Folders are searched with their subfolders. Written are `predictions.json` and `predictions/*.png`,
as the official panopticapi wants them, and `overlays/*.png`. An image that cannot be read is named,
counted and left out, and the exit status is 1. The classes are those that the checkpoint names, or
else those of the config's dataset; `--categories` reads them from any JSON with "categories", which
may give others ids but no other names. KEY VALUE pairs go after `--opts`.
"""

import argparse
import sys
from pathlib import Path

from detectron2.config import CfgNode
from PIL import Image
from tqdm import tqdm

from kmax_deeplab.d2.checkpointer import KMaXCheckpointer, classes_of_weights
from kmax_deeplab.d2.config import validate
from kmax_deeplab.d2.labelled_files import UnreadableImageError
from kmax_deeplab.d2.prediction import PredictedImage, Predictor, name_images
from kmax_deeplab.d2.preparation import prepare_prediction
from kmax_deeplab.d2.run_config import adapt_to_machine, load_config
from kmax_deeplab.d2.trainer import Trainer
from kmax_deeplab.data.categories import Categories, read_categories
from kmax_deeplab.data.panoptic_format import png_folder, write_ids, write_predictions_json
from kmax_deeplab.visualize.overlays import draw_panoptic


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--weights", help="checkpoint; default: MODEL.WEIGHTS of the config")
    parser.add_argument("--categories", type=Path, help="JSON or table with the classes")
    parser.add_argument("--output", type=Path, default=Path("output/predictions"))
    parser.add_argument("images", type=Path, nargs="+", help="images, or folders of images")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")
    return parser.parse_args(arguments)


def read_config(args: argparse.Namespace) -> tuple[CfgNode, Categories]:
    """Returns the config, fit for panoptic prediction on this machine, and its classes."""
    cfg = load_config(args.config_file, args.opts)
    cfg.MODEL.WEIGHTS = args.weights or cfg.MODEL.WEIGHTS
    adapt_to_machine(cfg)
    validate(cfg)
    try:
        given = read_categories(args.categories) if args.categories else None
        classes = classes_of_weights(cfg, train=False)
        categories = prepare_prediction(cfg, given, classes)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{error}\n--categories JSON names the classes of the model.") from error
    test = cfg.MODEL.KMAX_DEEPLAB.TEST
    test.PANOPTIC_ON, test.SEMANTIC_ON, test.INSTANCE_ON = True, False, False
    return cfg, categories


def write(output: Path, name: str, predicted: PredictedImage, categories: Categories) -> dict:
    """Writes the PNG and the overlay of an image; returns its entry of predictions.json."""
    png = f"{name}.png"
    write_ids(png_folder(output / "predictions.json") / png, predicted.panoptic)
    overlay = output / "overlays" / png
    overlay.parent.mkdir(parents=True, exist_ok=True)
    picture = draw_panoptic(
        predicted.image, predicted.panoptic, predicted.segments_info, categories
    )
    Image.fromarray(picture).save(overlay)
    segments = [
        {"id": segment["id"], "category_id": categories.ids[segment["category_id"]]}
        for segment in predicted.segments_info
    ]
    return {"image_id": name, "file_name": png, "segments_info": segments}


def run(args: argparse.Namespace) -> int:
    """Predicts all images; returns how many could not be read."""
    named = name_images(args.images)
    cfg, categories = read_config(args)
    model = Trainer.build_model(cfg)
    KMaXCheckpointer(model).load_complete(cfg.MODEL.WEIGHTS)
    predict, entries, damaged = Predictor(cfg, model), [], 0
    progress = tqdm(named.items(), unit="image")
    for name, path in progress:
        try:
            predicted = predict(path)
        except UnreadableImageError as error:
            damaged += 1
            progress.write(f"{path} cannot be read ({error.strerror})", file=sys.stderr)
        else:
            entries.append(write(args.output, name, predicted, categories))
    path = args.output / "predictions.json"
    write_predictions_json(path, entries, categories.to_json())
    print(f"{path}: {len(entries)} images; pictures in {args.output / 'overlays'}")
    if damaged:
        print(f"{damaged} of {len(named)} images could not be read.", file=sys.stderr)
    return damaged


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 if an image could not be read; a refusal ends with a sentence."""
    args = parse_args(arguments)
    try:
        damaged = run(args)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    sys.exit(1 if damaged else 0)


if __name__ == "__main__":
    main()
