"""Fixtures that several rooms share."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def two_threads() -> None:
    """Keeps timings and float sums alike on machines with more cores."""
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny "shapes" dataset: `train` with 6 images and `val` with 2, 97x97 pixels."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    counts = ("--train", "6", "--val", "2", "--size", "97")
    generator = ROOT / "datasets" / "generate_shapes.py"
    subprocess.run([sys.executable, generator, "--output", folder, *counts], check=True)
    return folder


@pytest.fixture
def logged():
    """Messages that the package logs; works whether or not its logger propagates."""

    class Listener(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    messages, listener, logger = [], Listener(), logging.getLogger("kmax_deeplab")
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    yield messages
    logger.setLevel(level)
    logger.removeHandler(listener)
