"""The model that a tool is to use: words of the command line enter, a predictor leaves."""

import argparse
from pathlib import Path

from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.data.format.categories import Categories, align, read_categories
from kmax_deeplab.predict.box import BOX
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.run_folder import weights_in


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the words that name a model; none of them means the model in the box."""
    parser.add_argument("--config-file", help="default: what the checkpoint says")
    parser.add_argument(
        "--weights", help="checkpoint, or a folder with one; default: the config's, or the box's"
    )
    parser.add_argument("--categories", type=Path, help="JSON or table with the classes")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")


def open_predictor(args: argparse.Namespace) -> tuple[Predictor, Categories, str]:
    """Returns what predicts, the categories to write, and where the weights are from.

    Raises:
        FileNotFoundError, ValueError: config, weights or classes are missing or do not fit.
    """
    given = read_categories(args.categories) if args.categories else None
    weights = weights_in(args.weights or "")
    if not weights and not args.config_file:
        if not BOX.is_file():
            raise ValueError("name a checkpoint (--weights), or a config that does (--config-file)")
        weights = str(BOX)
    if args.config_file or args.opts or not is_described(weights):
        # Only a config needs Detectron2.
        from kmax_deeplab.d2.engine.opening import PREDICT, open_model, open_run

        words = {"weights": weights or "", "purpose": PREDICT, "given": given}
        run = open_run(args.config_file, args.opts, **words)
        predict = Predictor(open_model(run.cfg, run.categories))
        return predict, run.categories, run.cfg.MODEL.WEIGHTS
    predict = Predictor(weights)
    own = predict.categories
    return predict, align(given, own, whole=True) if given else own, weights


def is_described(weights: str) -> bool:
    """Returns whether a checkpoint says how its model is built; an address has no such say.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if "://" in weights:
        return False
    if not Path(weights).is_file():
        raise FileNotFoundError(f"checkpoint {weights!r} does not exist")
    return read_identity(weights).description is not None
