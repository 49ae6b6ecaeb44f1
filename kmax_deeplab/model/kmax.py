"""kMaX-DeepLab as a whole: images enter, their segments or the losses of a batch leave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.model.description import InputDescription, ModelDescription
from kmax_deeplab.modeling.cpu.heap import keep_freed_memory
from kmax_deeplab.modeling.drop_path import DropPath, draw_paths
from kmax_deeplab.modeling.folding import fold_norms
from kmax_deeplab.noise import draw_seeds
from kmax_deeplab.postprocessing.image import PostprocessedImage, postprocess
from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import MergeThresholds, Prediction, Targets

Size = tuple[int, int]
"""(height, width) in pixels."""
Criterion = Callable[..., dict[str, Tensor]]


@dataclass(frozen=True)
class Outputs:
    """Which results are computed of an image.

    Attributes:
        panoptic, semantic, instance: whether these are.
        detections_per_image: most (query, class) pairs considered as instances.
    """

    panoptic: bool = True
    semantic: bool = False
    instance: bool = False
    detections_per_image: int = 100


class KMaXDeepLab(nn.Module):
    """Backbone, head, and what lies between them and images.

    Args:
        backbone: image (B, 3, H, W) to {name: feature}.
        head: features to `HeadOutput`.
        categories: the classes in the order of the outputs.
        inputs: what images go through.
        merge: when a query becomes a segment.
        outputs: what is computed of an image.
        criterion: (HeadOutput, list[Targets], seeds=) to {name: weighted loss}; for training only.
        description: from which it can be built again; None if parts of others are in it.
        precision: type in which the network predicts (autocast); None: that of its weights.

    Raises:
        ValueError: the classes are not as many as the head has.

    Attributes:
        only_predicts: whether it was made so for good (`only_predict`).
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        categories: Categories,
        inputs: InputDescription,
        merge: MergeThresholds,
        outputs: Outputs | None = None,
        criterion: Criterion | None = None,
        description: ModelDescription | None = None,
        precision: torch.dtype | None = None,
    ):
        super().__init__()
        self.categories, self.inputs, self.merge = categories, inputs, merge
        self.outputs, self.criterion = outputs or Outputs(), criterion
        self.description, self.precision = description, precision
        self.backbone = backbone
        self.sem_seg_head = head
        self.only_predicts = False
        self._frozen: list[nn.Module] = []
        self._drop_paths = [m for m in self.modules() if isinstance(m, DropPath) and m.drop_prob]
        last = inputs.channels_last
        self.memory_format = torch.channels_last if last else torch.contiguous_format
        self.register_buffer("pixel_mean", torch.tensor(inputs.pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(inputs.pixel_std).view(-1, 1, 1), False)
        self.register_buffer("is_thing", torch.tensor(categories.is_thing), False)
        self.to(memory_format=self.memory_format)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.pixel_mean.device

    def only_predict(self) -> "KMaXDeepLab":
        """Makes the model as fast as it can be, for good: it cannot be trained or saved any more.

        Returns:
            Itself, in evaluation mode.
        """
        self.only_predicts = True
        fold_norms(self)
        if self.precision is not None:  # otherwise every image casts them anew
            for module in self.modules():
                if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                    module.to(self.precision)
        return self.eval()

    def freeze(self, parts: Sequence[str]) -> None:
        """Stops training of parts: their parameters, and the statistics of their norms.

        Args:
            parts: beginnings of the names of parameters, up to a dot.

        Raises:
            ValueError: the model has no such part.
        """
        for part in parts:
            inside = [p for n, p in self.named_parameters() if f"{n}.".startswith(f"{part}.")]
            if not inside:
                raise ValueError(
                    f"MODEL.KMAX_DEEPLAB.FREEZE names {part!r}, which is no part of the model; its "
                    f"parts are {', '.join(name for name, _ in self.named_children())} and below"
                )
            for parameter in inside:
                parameter.requires_grad_(False)
            self._frozen += [m for n, m in self.named_modules() if f"{n}.".startswith(f"{part}.")]
        self.train(self.training)

    def train(self, mode: bool = True) -> "KMaXDeepLab":
        """Switches to training or evaluation, but for what is frozen."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, images: Sequence[Tensor], sizes: Sequence[Size]) -> list[PostprocessedImage]:
        """Segments images: see `segment`."""
        return self.segment(images, sizes)

    def losses(
        self,
        images: Sequence[Tensor],
        is_real: Sequence[Tensor | None],
        targets: list[Targets],
        seeds: Sequence[int | None],
    ) -> dict[str, Tensor]:
        """Computes the losses of a batch.

        Args:
            images: (3, h, w) uint8 RGB each.
            is_real: (h, w) bool each, False at padded pixels; None: all are real.
            targets: on the stride-4 grid of the padded images.
            seeds: one an image, which decide everything random about it here: which branches are
                dropped, which pixels sampled. None: drawn from PyTorch's global generator.

        Returns:
            {name: weighted loss}.
        """
        self._begin()
        drawn = draw_seeds(len(images))
        for i, seed in enumerate(seeds):
            drawn[i] = drawn[i] if seed is None else seed
        drawn = drawn.to(self.device, non_blocking=True)
        draw_paths(self._drop_paths, drawn)
        output = self.sem_seg_head(self.backbone(self.preprocess(images, is_real)))
        return self.criterion(output, targets, seeds=drawn)

    def segment(
        self,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        names: Sequence[str] | None = None,
    ) -> list[PostprocessedImage]:
        """Segments images.

        Args:
            images: (3, h, w) uint8 RGB each, resized as the network wants them.
            sizes: (height, width) of the results in pixels.
            names: of the images, for messages.

        Raises:
            ValueError: the network's answer holds NaN or infinite values.
        """
        answers = self.look(images, names)
        geometries = self.geometries(images, sizes)
        finals = (layers[-1] for layers in answers)
        return [
            self.postprocess(final.class_logits[0], final.mask_logits[0], geometry)
            for final, geometry in zip(finals, geometries, strict=True)
        ]

    def look(
        self, images: Sequence[Tensor], names: Sequence[str] | None = None
    ) -> list[list[Prediction]]:
        """Returns of each image every k-means layer's prediction and the final one (B = 1).

        Args:
            images, names: see `segment`.

        Raises:
            ValueError: the network's answer holds NaN or infinite values.
        """
        if self.device.type == "cpu":
            keep_freed_memory()
        if len(images) > 1 and self._exceeds_size(images):
            # Padded to another size than alone, an image would get another result.
            found = zip(images, names or [None] * len(images), strict=True)
            return [self.look([image], name and [name])[0] for image, name in found]
        layers = self.predict_layers(images)
        for logits in (layers[-1].class_logits, layers[-1].mask_logits):
            _require_finite(logits, names)
        return [[layer.of(index) for layer in layers] for index in range(len(images))]

    def postprocess(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        geometry: Geometry,
        merge: MergeThresholds | None = None,
        **outputs: bool,
    ) -> PostprocessedImage:
        """Turns the final prediction of an image into results.

        Args:
            class_logits: (Q, K + 1), void last.
            mask_logits: (Q, h, w) at any stride of the padded input.
            geometry: where the image lies in the padded input, and the size of the results.
            merge: other thresholds than the model's own.
            **outputs: other than the model's own (see `Outputs`).
        """
        settings = {**vars(self.outputs), **outputs}
        return postprocess(
            class_logits, mask_logits, geometry, merge or self.merge, self.is_thing, **settings
        )

    @torch.no_grad()
    def predict_layers(self, images: Sequence[Tensor]) -> list[Prediction]:
        """Returns every k-means layer's prediction and the final one, on the padded input."""
        self._begin()
        backbone, head = self.backbone, self.sem_seg_head
        if self._exceeds_size(images):  # compiled, each size of them would cost minutes
            backbone, head = backbone.forward, head.forward
        is_half = self.precision is not None
        with torch.autocast(self.device.type, self.precision, enabled=is_half):
            return head(backbone(self.preprocess(images))).predictions

    def preprocess(
        self, images: Sequence[Tensor], is_real: Sequence[Tensor | None] | None = None
    ) -> Tensor:
        """Normalises images and pads them right and bottom with 0 to one size, (B, 3, H, W)."""
        height, width = self._padded_size([image.shape[-2:] for image in images])
        size = (len(images), 3, height, width)
        batch = torch.zeros(size, device=self.device).to(memory_format=self.memory_format)
        for padded, image, real in zip(batch, images, is_real or [None] * len(images), strict=True):
            on_device = image.to(self.device, non_blocking=True)
            place = padded[:, : image.shape[-2], : image.shape[-1]]
            torch.sub(on_device, self.pixel_mean, out=place).div_(self.pixel_std)
            if real is not None:
                place.mul_(real.to(self.device, non_blocking=True))
        return batch

    def _begin(self) -> None:
        """Tells CUDA graphs that nobody needs the outputs of the call before."""
        if self.backbone._compiled_call_impl is not None and self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()

    def geometries(self, images: Sequence[Tensor], sizes: Sequence[Size]) -> list[Geometry]:
        """Returns where each image of a batch lies in the network input and its output size."""
        inputs = [tuple(image.shape[-2:]) for image in images]
        padded = tuple(self._padded_size(inputs))
        return [Geometry(padded, *pair) for pair in zip(inputs, map(tuple, sizes), strict=True)]

    def _exceeds_size(self, images: Sequence[Tensor]) -> bool:
        height, width = self.inputs.image_size
        sizes = (image.shape[-2:] for image in images)
        return any(size[0] > height or size[1] > width for size in sizes)

    def _padded_size(self, sizes: Sequence[Size]) -> list[int]:
        """`image_size`, or the next size of its kind (32k + 1 or 32k) where an image is larger."""
        padded = []
        for axis, side in enumerate(self.inputs.image_size):
            largest = max(int(size[axis]) for size in sizes)
            remainder = side % 32
            padded.append(max(side, -(-(largest - remainder) // 32) * 32 + remainder))
        return padded


def _require_finite(values: Tensor, names: Sequence[str] | None) -> None:
    """Refuses an answer that is none; post-processing would find nothing in it, without a word."""
    extremes = torch.stack([values.amin(), values.amax()])  # NaN if one value is
    if not extremes.isfinite().all():
        raise ValueError(
            f"the model's output for {', '.join(names or ['an image without name'])} holds NaN or "
            "infinite values: its weights or the precision (half, autocast) do not fit"
        )
