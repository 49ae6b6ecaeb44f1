"""A checkpoint of a model of a few thousand weights, for command lines."""

from pathlib import Path

import torch

from kmax_deeplab.checkpoint.identity import identity_of
from kmax_deeplab.model.build import build_model
from tests.tiny_model import tiny_model


def save_tiny(path: Path) -> Path:
    """Writes a checkpoint of random weights that finds some segments in noise; returns its path."""
    known = tiny_model()
    torch.manual_seed(5)
    model = build_model(known.description, known.categories)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    torch.save({"model": model.state_dict(), **identity_of(model).to_json()}, path)
    return path
