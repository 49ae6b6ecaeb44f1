"""Checkpointer: files of the released code or ours in, a filled model out; atomic files out."""

import os

from detectron2.checkpoint import DetectionCheckpointer
from torch.nn.modules.module import _IncompatibleKeys

from kmax_deeplab.checkpoint.released import from_released

PARTIAL = ".partial"
"""Marks a checkpoint that is still being written."""


class KMaXCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer that knows the released names and never leaves a torn file."""

    _complete = False

    def load(self, path: str, *args: object, **kwargs: object) -> dict:
        """Loads a checkpoint; what it lacks keeps its initial value and is logged.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file fits no parameter of the model.
        """
        if path and "://" not in path and not os.path.isfile(path):
            raise FileNotFoundError(f"checkpoint {path!r} does not exist; see MODEL.WEIGHTS")
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

    def _load_model(self, checkpoint: dict) -> _IncompatibleKeys:
        checkpoint["model"] = {from_released(k): v for k, v in checkpoint["model"].items()}
        loaded = len(checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        unused = len(incompatible.unexpected_keys) + len(incompatible.incorrect_shapes)
        total = len(self.model.state_dict())
        problems = describe(incompatible)
        if problems and (self._complete or loaded == unused):
            raise ValueError(
                f"the checkpoint is not one of this model: {loaded - unused} of {total} entries "
                f"were filled. {problems}. Use the config that it was trained with"
            )
        self.logger.info("loaded %d of %d entries of the model", loaded - unused, total)
        return incompatible

    def save(self, name: str, **kwargs: object) -> None:
        """Writes `name`.pth; a run killed meanwhile keeps its previous checkpoint."""
        super().save(name + PARTIAL, **kwargs)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Gives the finished file its name and points `last_checkpoint` to it."""
        basename = last_filename_basename.replace(PARTIAL, "")
        if basename != last_filename_basename:
            self._rename(last_filename_basename, basename)
        with open(os.path.join(self.save_dir, "last_checkpoint" + PARTIAL), "w") as f:
            f.write(basename)
        self._rename("last_checkpoint" + PARTIAL, "last_checkpoint")

    def _rename(self, old: str, new: str) -> None:
        os.replace(os.path.join(self.save_dir, old), os.path.join(self.save_dir, new))


def describe(incompatible: _IncompatibleKeys, limit: int = 5) -> str:
    """Says in one line what did not fit; empty if everything did."""
    shapes = [f"{k}: {have} in the file, {want} here" for k, have, want in incompatible[2]]
    kinds = {
        "missing": list(incompatible.missing_keys),
        "unexpected": list(incompatible.unexpected_keys),
        "of another shape": shapes,
    }
    return "; ".join(
        f"{len(keys)} {kind} ({', '.join(keys[:limit])}{', …' if len(keys) > limit else ''})"
        for kind, keys in kinds.items()
        if keys
    )
