"""A traced network enters, a file that torch.export loads anywhere leaves."""

import warnings
from pathlib import Path

import numpy as np
import torch

from kmax_deeplab.export.network import Traced
from kmax_deeplab.export.parity import Parity, compare
from kmax_deeplab.runtime.exported import ExportedModel
from kmax_deeplab.whole_files import whole_file


def write_program(traced: Traced, path: Path) -> Parity:
    """Writes a program, once it is loaded again and checked; returns how it did.

    Raises:
        ValueError: it is not the same as the model.
    """
    with whole_file(path) as partial:
        _save(traced, partial)
        network = torch.export.load(partial).module()

        def run(pixels: np.ndarray) -> list[np.ndarray]:
            with torch.no_grad():
                return [logits.numpy() for logits in network(torch.from_numpy(pixels))]

        exported = ExportedModel(traced.facts(), run, traced.batch)
        checked = compare(traced.predict, exported, traced.image)
        checked.require()
        _save(traced, partial, traced.facts(checked.to_json()).to_texts())
    return checked


def _save(traced: Traced, path: Path, texts: dict[str, str] | None = None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about weights on GPUs: ours are not
        torch.export.save(traced.program, path, extra_files=texts)
