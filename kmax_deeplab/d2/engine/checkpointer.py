"""Checkpointer: weights of any known source in, a filled model out; atomic files out."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler
from torch import nn

from kmax_deeplab.checkpoint.classes import KEY, read_classes
from kmax_deeplab.checkpoint.files import read_checkpoint
from kmax_deeplab.checkpoint.loading import load_weights, require_finite
from kmax_deeplab.checkpoint.parts import CLASSES
from kmax_deeplab.checkpoint.timm_hub import find_timm_weights
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.whole_files import PARTIAL, write_text

logger = logging.getLogger(__name__)

WHERE = (
    "Released checkpoints: see Models in README.md. ImageNet backbones: MODEL.WEIGHTS "
    "timm://convnext_tiny.fb_in22k_ft_in1k_384, or a file of torchvision, timm or ConvNeXt"
)


class TimmHandler(PathHandler):
    """Lets Detectron2's path manager open timm://NAME."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["timm://"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: object) -> str:
        return str(find_timm_weights(path.removeprefix("timm://")))


PathManager.register_handler(TimmHandler())


def classes_of_weights(
    cfg: CfgNode, start: Path | None = None, *, train: bool
) -> Categories | None:
    """Returns the classes of the weights that a run begins with, if they say so.

    Args:
        cfg: names the weights, and what of them begins anew.
        start: checkpoint that a run goes on from, in their place.
        train: whether parts may begin anew; then weights of other classes will do.
    """
    if start is None and train and CLASSES in cfg.MODEL.KMAX_DEEPLAB.REINITIALIZE:
        return None
    path = str(start or cfg.MODEL.WEIGHTS)
    return read_classes(path) if path and "://" not in path and os.path.isfile(path) else None


class KMaXCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer that reads all our sources and never leaves a torn file.

    Args:
        model: to fill or save.
        save_dir: folder of the checkpoints.
        reinitialize: parts that `load` leaves as they are (`MODEL.KMAX_DEEPLAB.REINITIALIZE`).
        **checkpointables: saved and restored besides the model.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        reinitialize: Sequence[str] = (),
        **checkpointables: object,
    ):
        super().__init__(model, save_dir, **checkpointables)
        self._reinitialize = tuple(reinitialize)
        self._complete = False
        self._origin = ""

    def load(self, path: str, *args: object, **kwargs: object) -> dict:
        """Loads a whole model, but for what is to be re-initialised, or a whole backbone.

        Args:
            path: a file, or an address that Detectron2 or timm knows (https://, timm://NAME).

        Raises:
            FileNotFoundError: there is no such file; says where to get one.
            ValueError: the file is damaged, unsafe or of another model.
        """
        if path and "://" not in path and not os.path.isfile(path):
            raise FileNotFoundError(f"checkpoint {path!r} does not exist. {WHERE}")
        self._origin = path
        try:
            return super().load(path, *args, **kwargs)
        finally:
            self._parsed_url_during_load = None  # Detectron2 forgets it when loading fails

    def load_complete(self, path: str, *args: object, **kwargs: object) -> dict:
        """Loads a checkpoint that must fill the whole model and hold nothing else.

        Raises:
            ValueError: it does not; the message lists the keys.
        """
        if not path:
            raise ValueError("MODEL.WEIGHTS is empty: name the checkpoint to use")
        self._complete = True
        try:
            return self.load(path, *args, **kwargs)
        finally:
            self._complete = False

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict:
        """Continues from the last checkpoint of the folder, which must be complete, or loads."""
        if resume and self.has_checkpoint():
            return self.load_complete(self.get_checkpoint_file())
        return self.load(path, checkpointables=[])

    def _load_file(self, filename: str) -> dict:
        return read_checkpoint(filename)

    def _load_model(self, checkpoint: dict) -> None:
        summary = load_weights(
            self.model,
            checkpoint.pop("model"),
            origin=self._origin,
            reinitialize=() if self._complete else self._reinitialize,
            complete=self._complete,
        )
        logger.info(summary)

    def save(self, name: str, **kwargs: object) -> None:
        """Writes `name`.pth; a run killed meanwhile keeps its previous checkpoint.

        Beside the weights lie the model's classes, if it knows them.

        Raises:
            ValueError: a parameter or a statistic is not finite; no file is touched.
        """
        require_finite(self.model.state_dict(), f"{self.save_dir}/{name}.pth is not written")
        categories = getattr(self.model, "categories", None)
        classes = {} if categories is None else {KEY: categories.to_json()}
        super().save(name + PARTIAL, **classes, **kwargs)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Gives the finished file its name and points `last_checkpoint` to it."""
        basename = last_filename_basename.replace(PARTIAL, "")
        if basename != last_filename_basename:
            self._rename(last_filename_basename, basename)
        write_text(os.path.join(self.save_dir, "last_checkpoint"), basename)

    def _rename(self, old: str, new: str) -> None:
        os.replace(os.path.join(self.save_dir, old), os.path.join(self.save_dir, new))
