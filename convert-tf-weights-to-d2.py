#!/usr/bin/env python
"""Converts a checkpoint of the official TensorFlow zoo of kMaX-DeepLab for this project.

Backbone, dataset and order of classes are read from the variables; file names mean nothing. What
does not fit exactly is refused. Reading a TensorFlow checkpoint needs TensorFlow
(pip install -r requirements-tf.txt), reading an .npz does not.
"""

import argparse
from pathlib import Path
from typing import Any

from kmax_deeplab import command
from kmax_deeplab.checkpoint.tensorflow.files import read_variables, write_model
from kmax_deeplab.checkpoint.tensorflow.identify import from_tensorflow, model_of
from kmax_deeplab.checkpoint.tensorflow.zoo import ZooModel
from kmax_deeplab.data.format.published import published_categories


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "input",
        metavar="IN",
        help="TensorFlow checkpoint (prefix, .index file or folder) or .npz of its variables",
    )
    parser.add_argument(
        "output", metavar="OUT", help="a .pkl for MODEL.WEIGHTS, with the config that is printed"
    )
    arguments = parser.parse_args(words)
    output = Path(arguments.output)
    if output.suffix != ".pkl":
        parser.error(f"OUT {str(output)!r} must end in .pkl")
    if not output.parent.is_dir():
        parser.error(f"OUT {str(output)!r}: there is no folder {str(output.parent)!r}")
    return arguments


def describe(file: str, model: ZooModel) -> dict[str, Any]:
    """Returns what the result says of its model, so that it can be used without a config."""
    try:
        from kmax_deeplab.d2.engine.opening import identity_of_config, read_config
    except ModuleNotFoundError as error:
        print(f"The result will hold weights alone: {error}")
        return {}
    queries = ["MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES", str(model.num_queries)]
    cfg = read_config(Path(__file__).parent / file, queries)
    return identity_of_config(cfg, published_categories(model.dataset)).to_json()


def main(words: list[str] | None = None) -> None:
    """Reads, converts, writes, and says which config goes with the result."""
    arguments = parse_args(words)
    print(f"Reading {arguments.input} ...", flush=True)
    variables = read_variables(arguments.input)
    model = model_of(variables)
    state = from_tensorflow(variables)
    file = f"configs/{model.dataset}/panoptic_segmentation/tf_kmax_{model.backbone}.yaml"
    write_model(arguments.output, state, describe(file, model))
    print(
        f"Wrote {arguments.output}: {model}, {len(variables)} variables.\n"
        f"python train_net.py --config-file {file} --eval-only "
        f"MODEL.WEIGHTS {arguments.output} "
        f"MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES {model.num_queries}"
    )


if __name__ == "__main__":
    command.run(main)
