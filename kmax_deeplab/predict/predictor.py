"""Panoptic segmentation of image files: paths enter, segments leave.

A checkpoint of this project is enough: it holds classes and description of the model beside its
weights, and nothing here needs Detectron2.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kmax_deeplab.checkpoint.files import read_checkpoint
from kmax_deeplab.checkpoint.identity import identity_in
from kmax_deeplab.checkpoint.loading import load_weights
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.samples.reading import read_image
from kmax_deeplab.model.build import build_model
from kmax_deeplab.model.kmax import KMaXDeepLab, Outputs
from kmax_deeplab.predict.inputs import as_input


@dataclass(frozen=True)
class PredictedImage:
    """What the model sees in an image.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        panoptic: (H, W) int32 segment ids, 0 where void.
        segments_info: per segment "id", "category_id" (index of a class), "isthing".
    """

    image: np.ndarray
    panoptic: np.ndarray
    segments_info: list[dict]


class Predictor:
    """Predicts one image file after another.

    Args:
        model: checkpoint of this project, or a model that is built and filled.
        device: to run on; default: a GPU if there is one and the model is read from a file.
        precision: float16 or bfloat16 for the network (autocast); default: as the model has it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not say how the model is built.

    Attributes:
        model: in evaluation mode.
        categories: names of the classes, in the order of the model's outputs.
    """

    def __init__(
        self,
        model: str | Path | KMaXDeepLab,
        device: str | torch.device | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        self.model = model if isinstance(model, KMaXDeepLab) else load_model(model, device)
        if device is not None:
            self.model.to(device)
        if precision is not None:
            self.model.precision = precision
        self.model.outputs = Outputs()
        self.model.eval()

    @property
    def categories(self) -> Categories:
        """Names of the classes, in the order of the model's outputs."""
        return self.model.categories

    @torch.no_grad()
    def __call__(self, path: str | Path) -> PredictedImage:
        """Predicts an image.

        Raises:
            FileNotFoundError: there is no such file.
            UnreadableImageError: it is damaged, no image, or of a kind that is not looked at.
        """
        image = read_image(path)
        inputs = self.model.inputs
        resized = as_input(image, inputs.shorter_side, inputs.longer_side)
        (result,) = self.model.segment([resized], [image.shape[:2]], [str(path)])
        ids, segments = result.panoptic
        return PredictedImage(image, ids.cpu().numpy().astype(np.int32), segments)


def load_model(path: str | Path, device: str | torch.device | None = None) -> KMaXDeepLab:
    """Builds the model that a checkpoint describes, and fills it; to predict only.

    Args:
        path: of a checkpoint of this project.
        device: to put it on; default: a GPU if there is one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not say how the model is built, or with which classes.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint {str(path)!r} does not exist")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    content = read_checkpoint(path)
    known = identity_in(content, path)
    if known.description is None or known.categories is None:
        missing = "how its model is built" if known.categories else "which classes its model has"
        raise ValueError(
            f"{path} does not say {missing}: open it with its config (tools/predict.py "
            "--config-file, or kmax_deeplab.d2.engine.opening in Python)"
        )
    description = known.description
    try:
        model = build_model(description, known.categories)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: its model cannot be built as the file describes it ({error})"
        ) from error
    load_weights(model, content["model"], origin=str(path), complete=True)
    return model.to(device).only_predict()
