"""What is exported of a model, and tracing it.

The network lies in the graph, with the normalisation before it; resizing an image before, and the
panoptic merge after it, lie beside (`kmax_deeplab.runtime`): their sizes change from image to image
and their decisions are no tensor operations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from kmax_deeplab.model.description import InputDescription
from kmax_deeplab.model.kmax import KMaXDeepLab
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.runtime.facts import PIXELS, Facts

MOST_IMAGES = 1024
"""Of a batch whose size is left open."""


@dataclass(frozen=True)
class Traced:
    """A traced network, and what is needed to check and to describe it.

    Attributes:
        program: the network.
        predict: the model that it is of.
        batch: images that it takes at a time; None: any number.
        made: by what, and from what.
        image: (H, W, 3) uint8 RGB, on which it is compared with the model.
    """

    program: ExportedProgram
    predict: Predictor
    batch: int | None
    made: Mapping[str, Any]
    image: np.ndarray

    def facts(self, checked: Mapping[str, Any] | None = None, **made: Any) -> Facts:
        """Returns what its file says."""
        model = self.predict.model
        made = {**self.made, **made}
        return Facts(model.categories, model.inputs, model.merge, made, checked or {})


class ExportedNetwork(nn.Module):
    """Normalisation, backbone and head of a model that only predicts.

    Args:
        model: whose parts are used.
    """

    def __init__(self, model: KMaXDeepLab) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.sem_seg_head
        self.register_buffer("mean", model.pixel_mean)
        self.register_buffer("std", model.pixel_std)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts.

        Args:
            pixels: (B, 3, H, W) float32 RGB in [0, 255], padded with the mean colour.

        Returns:
            class_logits: (B, Q, K + 1), void last; mask_logits: (B, Q, h, w) at stride 4.
        """
        final = self.head(self.backbone((pixels - self.mean) / self.std)).predictions[-1]
        return final.class_logits, final.mask_logits


def resized_inputs(inputs: InputDescription, size: tuple[int, int] | None) -> InputDescription:
    """Describes a network for another input size, to which images are resized in proportion.

    Args:
        inputs: of the model.
        size: (height, width) in pixels; None: as it is.

    Raises:
        ValueError: it is no size.
    """
    if size is None:
        return inputs
    if min(size) < 1:
        raise ValueError(f"--size {size[0]} {size[1]}: height and width are pixels, from 1")
    scale = max(size) / max(inputs.image_size)
    shorter, longer = (round(side * scale) for side in (inputs.shorter_side, inputs.longer_side))
    return replace(inputs, image_size=list(size), shorter_side=shorter, longer_side=longer)


def trace(model: KMaXDeepLab, batch: int | None) -> ExportedProgram:
    """Traces the network of a model at its input size.

    Args:
        model: on the CPU, in evaluation mode, in float32.
        batch: images at a time; None: left open.

    Raises:
        ValueError: the model predicts in half precision.
    """
    if model.precision is not None:
        raise ValueError(
            f"the model predicts in {model.precision}: export it in float32 (TEST.AMP.ENABLED "
            "False), with --half for another file in float16"
        )
    height, width = model.inputs.image_size
    # An example of one image would fix the batch.
    pixels = torch.zeros(batch or 2, 3, height, width)
    open_batch = {PIXELS: {0: Dim("batch", min=1, max=MOST_IMAGES)}}
    shapes = open_batch if batch is None else None
    with torch.no_grad():
        return torch.export.export(ExportedNetwork(model).eval(), (pixels,), dynamic_shapes=shapes)
