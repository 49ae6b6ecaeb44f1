"""Fixtures that several rooms share."""

import logging
import os
import subprocess
import sys
from collections import UserDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def few_threads() -> None:
    """Keeps float sums alike on machines with more cores; tests that run side by side take one."""
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tensors as small as a tiny run's gain nothing from a second thread, and lose much on a busy
    machine: `pytestmark = pytest.mark.usefixtures("one_thread")`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def process_state() -> Iterator[None]:
    """Gives back the working directory and the catalogs of datasets as a module found them."""
    folder = Path.cwd()
    with catalogs_kept():
        yield
    os.chdir(folder)


@contextmanager
def catalogs_kept() -> Iterator[None]:
    """Gives back the catalogs of datasets as they were, as if another process had used them."""
    loaded = sys.modules.get("kmax_deeplab.d2")
    before = [dict(catalog) for catalog in catalogs()] if loaded else None
    try:
        yield
    finally:
        for catalog, entries in zip(catalogs() if before else (), before or (), strict=True):
            catalog.data.clear()
            catalog.data.update(entries)


def catalogs() -> tuple[UserDict, UserDict]:
    """Returns Detectron2's, of datasets and of what is known of them."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    return DatasetCatalog, MetadataCatalog


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
