"""Looking at an image, whole or window by window: pixels enter, what the network says, and from it
segments, leave.

What is looked at once can be decided on again with other thresholds, without the network.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F

from kmax_deeplab.model.description import InputDescription
from kmax_deeplab.model.kmax import KMaXDeepLab
from kmax_deeplab.postprocessing.image import PostprocessedImage
from kmax_deeplab.postprocessing.instances import InstanceMasks
from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.predict.inputs import as_input, window_as_input
from kmax_deeplab.predict.joining import Joined
from kmax_deeplab.predict.stages import Watch, unwatched
from kmax_deeplab.predict.tiles import Window, windows
from kmax_deeplab.structures import MergeThresholds, Prediction


@dataclass(frozen=True)
class Glance:
    """What the network says about one window.

    Attributes:
        window: where it looked.
        layers: of every k-means layer, and the final prediction; B = 1.
        geometry: where the window lies in the network's input.
    """

    window: Window
    layers: Sequence[Prediction]
    geometry: Geometry

    def decide(
        self, model: KMaXDeepLab, merge: MergeThresholds | None = None, **outputs: bool
    ) -> PostprocessedImage:
        """Turns it into results of the window: see `KMaXDeepLab.postprocess`."""
        final = self.layers[-1]
        logits = final.class_logits[0], final.mask_logits[0]
        return model.postprocess(*logits, self.geometry, merge, **outputs)


@dataclass(frozen=True)
class Decision:
    """The segments of an image.

    Attributes:
        panoptic: (H, W) int32 segment ids, 0 where void.
        segments: see `postprocessing.panoptic.merge`.
        queries_used: most segments of one window.
    """

    panoptic: np.ndarray
    segments: list[dict]
    queries_used: int


def look(
    model: KMaXDeepLab,
    image: np.ndarray,
    name: str,
    inputs: InputDescription,
    batch: int = 1,
    watch: Watch = unwatched,
) -> Iterator[Glance]:
    """Looks at an image, window by window, or as a whole.

    Args:
        model: in evaluation mode.
        image: (H, W, 3) uint8 RGB.
        name: for messages.
        inputs: how images are resized, and in which windows they are looked at.
        batch: windows that the network sees at a time.
        watch: sees the stages "resize" and "network".
    """
    ahead = windows(image.shape[:2], inputs.tile, inputs.tile_overlap)
    while some := list(islice(ahead, batch)):
        with watch("resize"):
            prepared = [_prepare(image[window.place], inputs) for window in some]
        with watch("network"):  # until its answer is there, which is checked
            answers = model.look(prepared, [name] * len(some))
        geometries = model.geometries(prepared, [window.size for window in some])
        yield from map(Glance, some, answers, geometries)


def _prepare(part: np.ndarray, inputs: InputDescription) -> torch.Tensor:
    if inputs.tile:
        return window_as_input(part, inputs.tile, inputs.shorter_side)
    return as_input(part, inputs.shorter_side, inputs.longer_side)


def decide(
    model: KMaXDeepLab,
    glances: Iterable[Glance],
    size: tuple[int, int],
    merge: MergeThresholds | None = None,
    watch: Watch = unwatched,
) -> Decision:
    """Turns what the network says about an image into segments.

    Args:
        model: that looked.
        glances: at all windows, in order.
        size: (height, width) of the image in pixels.
        merge: other thresholds than the model's own.
        watch: sees the stage "merge".
    """
    joined, used, alone = None, 0, None
    for glance in glances:
        with watch("merge"):
            ids, segments = glance.decide(model, merge, semantic=False, instance=False).panoptic
            alone = ids.cpu().numpy().astype(np.int32, copy=False), segments
            used = max(used, len(segments))
            if glance.window.size != tuple(size):
                joined = joined or Joined(size, (merge or model.merge).overlap)
                joined.add(glance.window, *alone)
    with watch("merge"):
        return Decision(*(joined.finish() if joined else alone), used)


def semantic_map(
    model: KMaXDeepLab, glances: Iterable[Glance], size: tuple[int, int]
) -> np.ndarray:
    """Returns the class of every pixel, (H, W) int32, as the window in whose core it lies says."""
    classes = np.empty(size, np.int32)
    for glance in glances:
        decided = glance.decide(model, panoptic=False, semantic=True, instance=False)
        window = glance.window
        core = window.local(window.core_rows, window.core_columns)
        classes[window.core] = decided.semantic.argmax(0).cpu().numpy()[core]
    return classes


def as_instances(found: Decision) -> InstanceMasks:
    """Returns the things of an image as scored masks, the best first."""
    things = [segment for segment in found.segments if segment["isthing"]]
    things.sort(key=lambda segment: -segment["score"])
    masks = np.zeros((len(things), *found.panoptic.shape), bool)
    for mask, segment in zip(masks, things, strict=True):
        np.equal(found.panoptic, segment["id"], out=mask)
    return InstanceMasks(
        torch.tensor([segment["score"] for segment in things]),
        torch.tensor([segment["category_id"] for segment in things], dtype=torch.long),
        torch.from_numpy(masks),
    )


def segment_windows(model: KMaXDeepLab, image: np.ndarray, name: str) -> PostprocessedImage:
    """Looks at an image in the model's windows and joins them: the results the model is asked for.

    Args:
        model: in evaluation mode.
        image: (H, W, 3) uint8 RGB, as it is.
        name: for messages.
    """
    size, outputs = image.shape[:2], model.outputs
    glances = look(model, image, name, model.inputs)
    if outputs.semantic:
        glances = list(glances)
    found = decide(model, glances, size)
    semantic = None
    if outputs.semantic:
        classes = torch.from_numpy(semantic_map(model, glances, size)).long()
        semantic = F.one_hot(classes, len(model.categories)).permute(2, 0, 1).float()
    panoptic = torch.from_numpy(found.panoptic).to(model.device), found.segments
    return PostprocessedImage(
        panoptic if outputs.panoptic else None,
        semantic,
        as_instances(found) if outputs.instance else None,
    )
