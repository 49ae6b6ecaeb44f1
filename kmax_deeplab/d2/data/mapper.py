"""From a catalog record to a sample for the model; every panoptic dataset goes this way.

What enters: a record of a panoptic dataset and, for repeatable samples, a seed. What leaves: the
model's input dict with image, real-pixel flags and stride-4 targets (section "Data").
"""

import logging
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode

from kmax_deeplab.d2.data.augmentations import Augmentations, build_augmentations
from kmax_deeplab.d2.data.damage import LEFT_OUT
from kmax_deeplab.data.samples.copy_paste import copy_paste, without_paste
from kmax_deeplab.data.samples.reading import (
    UnreadableImageError,
    open_labelled,
    read_image,
    require_described,
)
from kmax_deeplab.data.samples.segments import read_true_ids
from kmax_deeplab.data.samples.targets import has_enough_labels, make_targets
from kmax_deeplab.data.samples.view import LabelledView, show
from kmax_deeplab.predict.inputs import as_input
from kmax_deeplab.structures import Targets

logger = logging.getLogger(__name__)

MAX_DRAWS = 50
"""Pairs of images drawn for one sample before the dataset is called unusable."""


class TrainMapper:
    """Makes training samples by scale jitter, colour jitter, crop, flip and panoptic copy-paste.

    Args:
        records: all records of the training set; second images are chosen among them.
        name: what to call the dataset in messages.
        image_size: (H, W) of the samples in pixels.
        scale_range: least and greatest scale; of second images, half of them.
        scale_of: what these are relative to, of `augmentations.SCALES`.
        flip: of `augmentations.FLIPS`.
        paste: probability that segments of a second image are pasted.

    Raises:
        ValueError: no record has a labelled segment.
    """

    def __init__(
        self,
        records: Sequence[Mapping],
        name: str,
        *,
        image_size: tuple[int, int],
        scale_range: tuple[float, float],
        scale_of: str = "fit",
        flip: str = "horizontal",
        paste: float = 1.0,
    ):
        report_unlabelled(records, name)
        self.records = records
        self.name = name
        self.image_size = image_size
        donor_range = tuple(scale / 2 for scale in scale_range)
        self.main = build_augmentations(image_size, scale_range, scale_of, flip)
        self.donor = build_augmentations(image_size, donor_range, scale_of, flip)
        self.paste = paste
        self.without_pixels = set()

    def __call__(self, record: Mapping, seed: int | None = None) -> dict:
        """Draws a sample around a record.

        Args:
            record: the main image.
            seed: decides every random choice; drawn from numpy's global state if None.

        Returns:
            "image" (3, H, W) uint8, "is_real_pixels" (H, W) bool, "targets", "height", "width",
            "file_name" and "image_id", both the main image's, "seed", and "left_out": files that
            were drawn first and cannot be used, with the reason: they are missing or damaged, or
            image, PNG and record contradict each other.

        Raises:
            RuntimeError: draw after draw, files cannot be used or hardly anything is labelled.
        """
        seed = np.random.randint(2**31) if seed is None else seed
        with seeded(seed):
            return {**self.draw(record, np.random.default_rng(seed)), "seed": seed}

    def draw(self, record: Mapping, rng: np.random.Generator) -> dict:
        """Redraws both images until they can be used and enough is labelled."""
        left_out: dict[str, str] = {}
        for _ in range(MAX_DRAWS):
            donor_record = self.records[rng.integers(len(self.records))]
            is_pasted = self.paste == 1 or rng.random() < self.paste
            main = self.load_usable(record, self.main, left_out)
            donor = None
            if main and is_pasted:
                donor = self.load_usable(donor_record, self.donor, left_out)
            if main and (donor or not is_pasted):
                sample = self.compose(record, main, donor, rng)
                if has_enough_labels(sample["targets"]):
                    return {**sample, LEFT_OUT: left_out}
            record = self.records[rng.integers(len(self.records))]
        raise RuntimeError(
            f"{self.name}: no usable sample in {MAX_DRAWS} draws. Files that cannot be used: "
            f"{'; '.join(left_out.values()) or 'none'}. In the other draws hardly anything was "
            "labelled: check the PNGs, INPUT.MIN_SCALE and INPUT.MAX_SCALE"
        )

    def load_usable(
        self, record: Mapping, augmentations: Augmentations, left_out: dict[str, str]
    ) -> LabelledView | None:
        """Loads an image if it can be used, and else says why not."""
        try:
            return self.load(record, augmentations)
        except (UnreadableImageError, FileNotFoundError, ValueError) as error:
            left_out[record["file_name"]] = str(error)
            return None

    def load(self, record: Mapping, augmentations: Augmentations) -> LabelledView:
        """Reads what a random view shows of an image and its labels, and jitters its colours."""
        with open_labelled(record) as (image, labels):
            view = augmentations.draw_view(image.size[::-1])
            shown = show(view, image, labels, augmentations.jitter.apply_image)
        if labels.missing:
            self.report_missing(record["pan_seg_file_name"], labels.missing)
        return shown

    def compose(
        self,
        record: Mapping,
        main: LabelledView,
        donor: LabelledView | None,
        rng: np.random.Generator,
    ) -> dict:
        """Pastes segments of a second image, if any, on the record's (see `__call__`)."""
        if donor is None:
            scene = without_paste(main, self.image_size)
        else:
            scene = copy_paste(main, donor, self.image_size, rng)
        planes = np.empty((3, *self.image_size), dtype=np.uint8)
        cv2.split(scene.image, list(planes))  # many times as fast as a transposed copy
        return input_dict(
            record, planes, scene.is_real, make_targets(scene.grid_map, scene.segments)
        )

    def report_missing(self, png_file: str, missing: Sequence[int]) -> None:
        """Counts listed segments without a pixel; warns at the first PNG, the tenth, hundredth, …

        They count for nothing, and a line for each of thousands would bury all others.
        """
        if png_file in self.without_pixels:
            return
        self.without_pixels.add(png_file)
        if math.log10(number := len(self.without_pixels)).is_integer():
            logger.warning(
                "%s: %s lacks the listed segments %s: left out; PNGs with such segments so far in "
                "this process: %d (datasets/check.py counts all, its --fix removes them)",
                *(self.name, png_file, missing[:10], number),
            )


class EvaluationMapper:
    """Reads images as training does, and resizes them as Detectron2's mapper does to test.

    Args:
        cfg: its INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST are used; images that are looked at in
            windows (TILE_TEST) keep their size.
        with_truth: whether the panoptic ground truth is read as well, beside the network's work.
    """

    def __init__(self, cfg: CfgNode, *, with_truth: bool = False) -> None:
        is_tiled = cfg.INPUT.TILE_TEST > 0
        self._sides = (0, 0) if is_tiled else (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
        self._with_truth = with_truth

    def __call__(self, record: Mapping) -> dict:
        """Reads and resizes an image.

        Args:
            record: "file_name", and "height" and "width" in pixels if they are known.

        Returns:
            The record with "image", (3, h, w) uint8, "height" and "width" of the file, and perhaps
            "truth", see `read_true_ids`.

        Raises:
            FileNotFoundError: there is no such file.
            UnreadableImageError: it is damaged or of a kind that is not looked at; without it the
                score would be of other data.
            ValueError: the record or its PNG has another size, or the PNG is damaged.
        """
        image = read_image(record["file_name"])
        require_described(record, image.shape[:2])
        height, width = image.shape[:2]
        found = {"height": height, "width": width, "image": as_input(image, *self._sides)}
        if self._with_truth:
            png, segments = record["pan_seg_file_name"], record["segments_info"]
            found["truth"] = read_true_ids(png, segments, (height, width))
        return {**record, **found}


def build_train_mapper(cfg: CfgNode, records: Sequence[Mapping]) -> TrainMapper:
    """Builds the mapper that INPUT.* describes for the records of all datasets to train on."""
    return TrainMapper(
        records,
        " + ".join(cfg.DATASETS.TRAIN),
        image_size=tuple(cfg.INPUT.IMAGE_SIZE),
        scale_range=(cfg.INPUT.MIN_SCALE, cfg.INPUT.MAX_SCALE),
        scale_of=cfg.INPUT.SCALE_OF,
        flip=cfg.INPUT.RANDOM_FLIP,
        paste=cfg.INPUT.COPY_PASTE,
    )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators, which Detectron2's augmentations use, and restores them."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def report_unlabelled(records: Sequence[Mapping], name: str) -> None:
    """Logs how many records have no label beside crowds; they only serve to paste on.

    Raises:
        ValueError: none has a label.
    """
    bare = [
        record["file_name"]
        for record in records
        if all(segment.get("iscrowd", 0) for segment in record["segments_info"])
    ]
    if len(bare) == len(records):
        raise ValueError(f"{name}: none of the {len(records)} images has a labelled segment")
    if bare:
        logger.warning(
            "%s: %d of %d images have no labelled segment, e.g. %s; a sample of one is drawn anew "
            "unless enough is pasted on it",
            *(name, len(bare), len(records), bare[0]),
        )


def input_dict(record: Mapping, image: np.ndarray, is_real: np.ndarray, targets: Targets) -> dict:
    """Gathers what the model takes for training (see `TrainMapper.__call__`)."""
    height, width = is_real.shape
    return {
        "image": torch.from_numpy(image),
        "is_real_pixels": torch.from_numpy(is_real),
        "targets": targets,
        "height": height,
        "width": width,
        "file_name": record["file_name"],
        "image_id": record["image_id"],
    }
