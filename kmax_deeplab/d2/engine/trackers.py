"""Where a run is looked at: figures and pictures enter, TensorBoard, W&B or MLflow show them.

Names are grouped, so that the losses of a k-means layer lie together: `layer 0/loss_ce`.
`metrics.json` keeps Detectron2's names.
"""

import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage

from kmax_deeplab.d2.engine.figures import News

OF_LAYER = re.compile(r"(loss_\w+?)_(\d+)")
OF_CLASS = re.compile(r"(.*)/(\w+)-(.+)")
RATES = ("lr", "gradient_norm", "gradient_scale", "skipped_steps")


class Tracker(Protocol):
    """What shows figures."""

    def add_figures(self, figures: dict[str, float], step: int) -> None:
        """Shows numbers by their grouped names."""

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Shows an (H, W, 3) uint8 RGB picture."""

    def close(self) -> None:
        """Ends."""


class TensorBoard:
    """Event files in the folder of the run."""

    def __init__(self, cfg: CfgNode) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(cfg.OUTPUT_DIR)

    def add_figures(self, figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of W&B named by the folder, which a resumed training goes on with."""

    def __init__(self, cfg: CfgNode) -> None:
        import wandb

        self._wandb = wandb
        name = Path(cfg.OUTPUT_DIR).resolve().name
        settings = {"name": name, "id": re.sub(r"\W", "-", name), "resume": "allow"}
        self._run = wandb.init(project="kmax-deeplab", dir=cfg.OUTPUT_DIR, config=cfg, **settings)

    def add_figures(self, figures: dict[str, float], step: int) -> None:
        self._run.log(figures, step=step)

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        self._run.log({name: self._wandb.Image(picture)}, step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run of MLflow named by the folder; MLFLOW_TRACKING_URI says where."""

    def __init__(self, cfg: CfgNode) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment("kmax-deeplab")
        mlflow.start_run(run_name=Path(cfg.OUTPUT_DIR).resolve().name)
        mlflow.log_text(cfg.dump(), "config.yaml")

    def add_figures(self, figures: dict[str, float], step: int) -> None:
        plain = {re.sub(r"[^\w\-. /]", "_", name): value for name, value in figures.items()}
        self._mlflow.log_metrics(plain, step=step)

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        self._mlflow.log_image(picture, f"{name}/{step:07d}.png")

    def close(self) -> None:
        self._mlflow.end_run()


TRACKERS: dict[str, tuple[str, Callable[[CfgNode], Tracker]]] = {
    "tensorboard": ("tensorboard", TensorBoard),
    "wandb": ("wandb", WeightsAndBiases),
    "mlflow": ("mlflow", MLflow),
}
"""By the words of LOGGERS: the package that each needs, and what opens it."""


def require_packages(names: Sequence[str]) -> None:
    """Refuses trackers that there are not, or whose package is not installed.

    Raises:
        ValueError: naming it.
    """
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"LOGGERS names {name!r}; there are {list(TRACKERS)}")
        if importlib.util.find_spec(TRACKERS[name][0]) is None:
            raise ValueError(f"LOGGERS {name!r} needs a package: pip install {TRACKERS[name][0]}")


class TrackerWriter(EventWriter):
    """Hands new figures and pictures of Detectron2's storage to trackers.

    Args:
        trackers: opened.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers, self._news = trackers, News()

    def write(self) -> None:
        """Shows what is new."""
        storage, news = get_event_storage(), self._news.take()
        for tracker in self._trackers:
            for step, figures in news.items():
                tracker.add_figures({grouped(n): value for n, value in figures.items()}, step)
            for name, picture, step in storage._vis_data:
                tracker.add_picture(name, np.moveaxis(np.asarray(picture), 0, 2), step)
        storage.clear_images()

    def close(self) -> None:
        """Ends all trackers."""
        for tracker in self._trackers:
            tracker.close()


def grouped(name: str) -> str:
    """Returns the name of a figure with its group before it.

    >>> grouped("loss_ce_3"), grouped("loss_ce"), grouped("panoptic_seg/PQ-traffic light")
    ('layer 3/loss_ce', 'final/loss_ce', 'panoptic_seg PQ by class/traffic light')
    """
    if of_layer := OF_LAYER.fullmatch(name):
        return f"layer {of_layer[2]}/{of_layer[1]}"
    if of_class := OF_CLASS.fullmatch(name):
        return f"{of_class[1]} {of_class[2]} by class/{of_class[3]}"
    if name.startswith("loss_"):
        return f"final/{name}"
    if name in RATES:
        return f"step/{name}"
    return name if "/" in name or name == "total_loss" else f"run/{name}"
