"""Panoptic segmentation of images: whatever holds an image enters, its segments leave.

    from kmax_deeplab import Predictor

    predict = Predictor("model_final.pth")
    seen = predict("photo.jpg")
    seen.segments, seen.panoptic, seen.draw(), seen.save("folder")

A checkpoint of this project is enough: it holds classes and description of the model beside its
weights, and nothing here needs Detectron2.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from kmax_deeplab.checkpoint.identity import identity_in
from kmax_deeplab.checkpoint.loading import load_weights
from kmax_deeplab.checkpoint.pretrained import read_any
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.images import MAX_PIXELS, MAX_TILED_PIXELS
from kmax_deeplab.data.samples.reading import UnreadableImageError
from kmax_deeplab.model.build import build_model
from kmax_deeplab.model.kmax import KMaXDeepLab, Outputs
from kmax_deeplab.modeling.cpu.heap import return_freed_memory
from kmax_deeplab.modeling.initial import Undrawn
from kmax_deeplab.postprocessing.instances import InstanceMasks
from kmax_deeplab.predict.hub import OnHub
from kmax_deeplab.predict.looking import (
    Decision,
    Glance,
    as_instances,
    decide,
    look,
    semantic_map,
)
from kmax_deeplab.predict.prediction import HUGE, PredictedImage, Views, describe
from kmax_deeplab.predict.sources import NamedImage, Source, is_one, read, spread, work_ahead
from kmax_deeplab.predict.stages import Watch, unwatched
from kmax_deeplab.predict.tiles import windows
from kmax_deeplab.structures import MergeThresholds
from kmax_deeplab.visualize.cluster_maps import assignment_map

Batch = Mapping[str, np.ndarray]
"""Columns of many images, as Ray Data's `map_batches` gives and takes them."""


class Predictor(OnHub):
    """Predicts images.

    Args:
        model: checkpoint, folder that `save_pretrained` wrote, or a model that is built and filled.
        device: to run on; default: a GPU if there is one and the model is read from a file.
        precision: float16 or bfloat16 for the network (autocast); default: as the model has it.
        tile: side in pixels of the windows in which images are looked at, each resized as a whole
            image would be, and joined; 0: images are looked at as a whole; default: as the model
            was trained for.
        overlap: least share of a window that the next one sees too; default: the model's.
        batch: windows that the network sees at a time.
        workers: threads that read images ahead.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not say how the model is built; the tiles cannot be.

    Attributes:
        model: in evaluation mode.
        inputs: how images are resized, and in which windows they are looked at.
        watch: sees the stages "read", "resize", "network" and "merge".
    """

    def __init__(
        self,
        model: str | Path | KMaXDeepLab,
        device: str | torch.device | None = None,
        precision: torch.dtype | None = None,
        *,
        tile: int | None = None,
        overlap: float | None = None,
        batch: int = 1,
        workers: int = 2,
    ) -> None:
        self.source = None if isinstance(model, KMaXDeepLab) else Path(model)
        self.model = model if isinstance(model, KMaXDeepLab) else load_model(model, device)
        if device is not None:
            self.model.to(device)
        if precision is not None:
            self.model.precision = precision
        self.model.outputs = Outputs()
        self.model.eval()
        self.batch, self.workers = batch, workers
        self.watch: Watch = unwatched
        asked = {"tile": tile, "tile_overlap": overlap}
        given = {key: value for key, value in asked.items() if value is not None}
        self.inputs = replace(self.model.inputs, **given)

    @property
    def categories(self) -> Categories:
        """Names of the classes, in the order of the model's outputs."""
        return self.model.categories

    @property
    def num_queries(self) -> int:
        """Most segments that can be found in an image, or in one of its windows."""
        return self.model.sem_seg_head.predictor.cluster_centers.embedding_dim

    def __call__(
        self, images: Source | Iterable[Source] | Batch
    ) -> PredictedImage | list[PredictedImage] | dict[str, np.ndarray]:
        """Predicts one image, several, or a batch of columns.

        Args:
            images: a path, a picture of PIL, an array (H, W, 3) or (H, W) or a tensor (3, H, W) of
                bytes, RGB; a list of them; a folder; or columns with "image", (N, H, W, 3) or N
                arrays, or "path".

        Returns:
            What is seen: of one image one, else a list, or of columns these with "panoptic",
            N arrays (H, W) int32, and "segments", N lists as JSON texts.

        Raises:
            FileNotFoundError: there is no such file.
            UnreadableImageError: it is damaged, no image, or of a kind that is not looked at.
            TypeError, ValueError: what is given is no image of bytes.
        """
        if isinstance(images, Mapping):
            return self._columns(images)
        found = self.each(images)
        return next(found) if is_one(images) else list(found)

    def each(
        self,
        images: Source | Iterable[Source],
        skip: Callable[[str, UnreadableImageError], None] | None = None,
        *,
        keep: bool = False,
    ) -> Iterator[PredictedImage]:
        """Predicts images one after the other, while others are read.

        Args:
            images: see `__call__`.
            skip: is told name and error of an image that cannot be read, which is left out;
                default: the error is raised.
            keep: whether each keeps what the network said of it (some 10 MB), so that other views
                need no second look, unless it was looked at in windows.
        """
        for name, future in self._read_ahead(images):
            try:
                image = future.result()
            except UnreadableImageError as error:
                if skip is None:
                    raise
                skip(name, error)
            else:
                kept = keep and not self.needs_windows(image)
                yield self.decide(image, list(self.look(image)) if kept else self.look(image))

    def needs_windows(self, image: NamedImage) -> bool:
        """Returns whether an image is looked at in several windows."""
        ahead = windows(image.pixels.shape[:2], self.inputs.tile, self.inputs.tile_overlap)
        return len(list(islice(ahead, 2))) > 1

    def look(self, image: NamedImage) -> Iterator[Glance]:
        """Lets the network look at an image; what it says can be decided on more than once."""
        return look(self.model, image.pixels, image.name, self.inputs, self.batch, self.watch)

    def read(self, image: Source, name: str = "0") -> NamedImage:
        """Reads an image; for `look`."""
        name = str(image) if isinstance(image, str | Path) else name
        with self.watch("read"):
            return read(name, image, MAX_TILED_PIXELS if self.inputs.tile else MAX_PIXELS)

    def decide(
        self, image: NamedImage, glances: Iterable[Glance], merge: MergeThresholds | None = None
    ) -> PredictedImage:
        """Turns what the network says about an image into segments.

        Args:
            image: that was looked at.
            glances: what `look` gave; a list is kept, for other views.
            merge: other thresholds than the model's own.
        """
        pixels = image.pixels
        found = decide(self.model, glances, pixels.shape[:2], merge, self.watch)
        kept = glances if isinstance(glances, list) else None
        with self.watch("merge"):
            segments = describe(found.panoptic, found.segments, self.categories)
        if found.panoptic.size > HUGE:
            return_freed_memory()
        return PredictedImage(
            name=image.name,
            image=pixels,
            panoptic=found.panoptic,
            segments=segments,
            categories=self.categories,
            queries_used=found.queries_used,
            num_queries=self.num_queries,
            is_joined=self.needs_windows(image),
            _look_again=partial(self._look_again, image, found, kept),
        )

    def _look_again(self, image: NamedImage, found: Decision, kept: list[Glance] | None) -> Views:
        size = image.pixels.shape[:2]
        if self.needs_windows(image):  # of which memory does not hold all
            semantic = semantic_map(self.model, kept or self.look(image), size)
            return Views(semantic, as_instances(found), [])
        (glance,) = kept or self.look(image)
        semantic = semantic_map(self.model, [glance], size)
        instances = glance.decide(self.model, semantic=False, instance=True).instances
        return Views(
            semantic,
            InstanceMasks(*(x.cpu() for x in vars(instances).values())),
            [
                assignment_map(layer.mask_logits[0].float().cpu().numpy(), glance.geometry)
                for layer in glance.layers
            ],
        )

    def _read_ahead(
        self, images: Source | Iterable[Source]
    ) -> Iterator[tuple[str, Future[NamedImage]]]:
        names: list[str] = []

        def work(item: tuple[str, Source]) -> NamedImage:
            return self.read(item[1], item[0])

        def listed() -> Iterator[tuple[str, Source]]:
            for item in spread(images):
                names.append(item[0])
                yield item

        for future in work_ahead(work, listed(), self.workers):
            yield names.pop(0), future

    def _columns(self, columns: Batch) -> dict[str, np.ndarray]:
        if not {"image", "path"} & columns.keys():
            raise ValueError(f"columns {sorted(columns)} lack both 'image' and 'path'")
        found = list(self.each(list(columns["image" if "image" in columns else "path"])))
        maps = np.empty(len(found), object)
        maps[:] = [seen.panoptic for seen in found]
        segments = [json.dumps([asdict(s) for s in seen.segments]) for seen in found]
        return {**columns, "panoptic": maps, "segments": np.array(segments, dtype=object)}


def load_model(path: str | Path, device: str | torch.device | None = None) -> KMaXDeepLab:
    """Builds the model that a checkpoint describes, and fills it; to predict only.

    Args:
        path: of a checkpoint of this project, or of a folder that `save_pretrained` wrote.
        device: to put it on; default: a GPU if there is one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not say how the model is built, or with which classes.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"checkpoint {str(path)!r} does not exist")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    content = read_any(path)
    known = identity_in(content, path)
    if known.description is None or known.categories is None:
        missing = "how its model is built" if known.categories else "which classes its model has"
        raise ValueError(
            f"{path} does not say {missing}: open it with its config (tools/predict.py "
            "--config-file, or kmax_deeplab.d2.engine.opening in Python)"
        )
    description = known.description
    try:
        with Undrawn():
            model = build_model(description, known.categories)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: its model cannot be built as the file describes it ({error})"
        ) from error
    load_weights(model, content["model"], origin=str(path), complete=True)
    return model.to(device).only_predict()
