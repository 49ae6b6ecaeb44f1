"""A prepared benchmark: its tree, its config made tiny, and how to run and register it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.data.builtin import register_benchmarks
from kmax_deeplab.d2.engine.trainer import Trainer
from tests.datasets import trees
from tests.scripts import ROOT, load_script
from tests.tiny_run import TINY

WITH_STEM = {
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS": [1, 1, 1, 1, 1],
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_CHANNELS": [16, 16, 16, 16, 16],
}
OUTPUTS = ("PANOPTIC", "SEMANTIC", "INSTANCE")


@dataclass(frozen=True)
class Benchmark:
    """What is needed to run a benchmark from its archives to its figures.

    Attributes:
        name: of the folder below configs/ and of the preparation script.
        build: writes the archives below a folder.
        network: leaf config.
        options: settings that differ from those of the tiny network.
    """

    name: str
    build: Callable[[Path], None]
    network: str
    options: dict

    @property
    def config(self) -> str:
        folder = ROOT / "configs" / self.name / "panoptic_segmentation"
        return str(folder / f"kmax_{self.network}.yaml")

    @property
    def sets(self) -> tuple[str, ...]:
        cfg = load_config(self.config)
        return (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)

    @property
    def test_set(self) -> str:
        return self.sets[-1]

    def prepare(self, root: Path) -> None:
        """Runs the preparation script as a user would, from another folder."""
        script = [sys.executable, str(ROOT / "datasets" / f"prepare_{self.name}.py")]
        options = ["--root", str(root), "--workers", "1"]
        environment = {"PYTHONPATH": str(ROOT)}
        subprocess.run(
            [*script, *options], check=True, cwd="/", env=environment, capture_output=True
        )

    def script(self) -> ModuleType:
        """Imports the preparation script."""
        return load_script(f"datasets/prepare_{self.name}.py")

    def settings(self, output: Path, **changes: object) -> list[str]:
        """Returns the configuration of a tiny network as words of the command line."""
        settings = {**TINY, "OUTPUT_DIR": output, "SOLVER.MAX_ITER": 2, "DATALOADER.NUM_WORKERS": 0}
        settings |= {f"MODEL.KMAX_DEEPLAB.TEST.{name}_ON": True for name in OUTPUTS}
        settings |= {**self.options, **changes}
        return [str(word) for pair in settings.items() for word in pair]

    def score(self, output: Path, model: torch.nn.Module, **changes: object) -> dict:
        """Evaluates a model on the validation set."""
        cfg = load_config(self.config, self.settings(output, **changes))
        return Trainer.test(cfg, model)


BENCHMARKS = (
    Benchmark("coco", trees.build_coco, "convnext_tiny", {}),
    Benchmark(
        "cityscapes",
        trees.build_cityscapes,
        "convnext_tiny",
        # 64 x 128 pixels become 65 x 130.
        {"INPUT.IMAGE_SIZE": [65, 161], "INPUT.MAX_SIZE_TEST": 161, **WITH_STEM},
    ),
    Benchmark("ade20k", trees.build_ade20k, "convnext_large", {}),
)


@contextmanager
def registered(root: Path) -> Iterator[None]:
    """Lets the released names stand for the data below a folder."""
    register_benchmarks(root)
    try:
        yield
    finally:
        register_benchmarks()
