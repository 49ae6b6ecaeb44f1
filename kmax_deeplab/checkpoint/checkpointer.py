"""Checkpointer: weights of any known source in, a filled model out; atomic files out.

It is fvcore's, which Detectron2's hooks work with.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from fvcore.common.checkpoint import Checkpointer
from iopath.common.file_io import HTTPURLHandler, PathHandler, PathManager
from torch import distributed, nn

from kmax_deeplab.checkpoint.files import read_checkpoint
from kmax_deeplab.checkpoint.identity import identity_of
from kmax_deeplab.checkpoint.loading import load_weights, require_finite
from kmax_deeplab.checkpoint.timm_hub import find_timm_weights
from kmax_deeplab.whole_files import PARTIAL, write_text

logger = logging.getLogger(__name__)

WHERE = (
    "Released checkpoints: see Models in README.md. ImageNet backbones: MODEL.WEIGHTS "
    "timm://convnext_tiny.fb_in22k_ft_in1k_384, or a file of torchvision, timm or ConvNeXt"
)


class TimmHandler(PathHandler):
    """Opens timm://NAME."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["timm://"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: object) -> str:
        return str(find_timm_weights(path.removeprefix("timm://")))


PATHS = PathManager()
"""Knows the addresses of weights; the edge adds Detectron2's."""
PATHS.register_handler(HTTPURLHandler())
PATHS.register_handler(TimmHandler())


class KMaXCheckpointer(Checkpointer):
    """Reads all our sources and never leaves a torn file; only the main process writes.

    Args:
        model: to fill or save.
        save_dir: folder of the checkpoints.
        reinitialize: parts that `load` leaves as they are (`MODEL.KMAX_DEEPLAB.REINITIALIZE`).
        config: YAML of the run, to be kept beside the weights.
        **checkpointables: saved and restored besides the model.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        reinitialize: Sequence[str] = (),
        config: str | None = None,
        **checkpointables: object,
    ):
        is_main = not distributed.is_initialized() or distributed.get_rank() == 0
        super().__init__(model, save_dir, save_to_disk=is_main, **checkpointables)
        self.path_manager = PATHS
        self._reinitialize = tuple(reinitialize)
        self._config = config
        self._complete = False
        self._origin = ""

    def load(self, path: str, *args: object, **kwargs: object) -> dict:
        """Loads a whole model, but for what is to be re-initialised, or a whole backbone.

        Args:
            path: a file, or an address (https://, timm://NAME, detectron2://).

        Raises:
            FileNotFoundError: there is no such file; says where to get one.
            ValueError: the file is damaged, unsafe or of another model.
        """
        if path and "://" not in path and not os.path.isfile(path):
            raise FileNotFoundError(f"checkpoint {path!r} does not exist. {WHERE}")
        self._origin = path
        return super().load(path, *args, **kwargs)

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

    def _load_file(self, f: str) -> dict:
        return read_checkpoint(f)

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

        Beside the weights lies what the model knows of itself (see `identity`).

        Raises:
            ValueError: a parameter or a statistic is not finite; no file is touched.
            OSError: there is no room, or the folder cannot be written.
        """
        if not self.save_to_disk:
            return
        path = Path(self.save_dir, f"{name}.pth")
        require_finite(self.model.state_dict(), f"{path} is not written")
        known = identity_of(self.model, self._config).to_json()
        try:
            super().save(name + PARTIAL, **known, **kwargs)
        except (OSError, RuntimeError) as error:  # PyTorch's writer raises the latter
            Path(self.save_dir, f"{name}{PARTIAL}.pth").unlink(missing_ok=True)
            raise OSError(
                f"{path} cannot be written ({error}). What was saved before is whole: make room, "
                "then go on with --resume"
            ) from error

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Gives the finished file its name and points `last_checkpoint` to it."""
        basename = last_filename_basename.replace(PARTIAL, "")
        if basename != last_filename_basename:
            self._rename(last_filename_basename, basename)
        write_text(os.path.join(self.save_dir, "last_checkpoint"), basename)

    def _rename(self, old: str, new: str) -> None:
        os.replace(os.path.join(self.save_dir, old), os.path.join(self.save_dir, new))
