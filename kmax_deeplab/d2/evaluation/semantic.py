"""Semantic evaluator: class probabilities of images enter, mIoU, accuracies and Boundary IoU leave.

The ground truth is the dataset's PNGs of classes where its metadata name a `sem_seg_root`,
otherwise what its panoptic ground truth implies.
"""

import logging
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from detectron2.evaluation import SemSegEvaluator

from kmax_deeplab.d2.evaluation.task import Task
from kmax_deeplab.data.format.categories import NOT_LISTED
from kmax_deeplab.data.format.derived_truth import semantic_map
from kmax_deeplab.data.format.images import UNREADABLE, open_picture
from kmax_deeplab.data.format.zips import is_folder
from kmax_deeplab.data.samples.segments import read_true_ids, require_size
from kmax_deeplab.whole_files import PARTIAL

logger = logging.getLogger(__name__)

MOST_FOR_BOUNDARIES = 255
"""Classes from which on Boundary IoU is not computed: OpenCV erodes maps of bytes."""


class SemanticEvaluator(SemSegEvaluator):
    """Detectron2's semantic evaluator for the classes of a panoptic dataset, under "sem_seg".

    Args:
        task: the dataset; sem_seg_predictions.json, in COCO's format, is written if predictions
            are to be saved.

    Raises:
        FileNotFoundError: the folder of semantic PNGs is missing.
    """

    def __init__(self, task: Task) -> None:
        # Detectron2's constructor asks the catalogs for what is set here: the dataset there has
        # other classes and files.
        self._logger, self._distributed = logger, True
        self._dataset_name, self._class_names = task.name, list(task.categories.names)
        self._cpu_device = torch.device("cpu")
        self._writes = task.save_predictions
        self._output_dir = str(task.folder / f".semantic{PARTIAL}") if self._writes else None
        self._records = {record["file_name"]: record for record in task.records}
        self._num_classes = len(task.categories)
        self._classes = {index: index for index in range(self._num_classes)}
        self._contiguous_id_to_dataset_id = dict(enumerate(task.categories.ids))
        self._unlisted = [i for i, c in enumerate(task.categories.ids) if c <= NOT_LISTED]
        self._ignore_label = self._num_classes  # void is the class after the last: 255 may be one
        self._compute_boundary_iou = self._num_classes < MOST_FOR_BOUNDARIES
        files = semantic_files(task)
        self.input_file_to_gt_file = files or {name: name for name in self._records}
        self.sem_seg_loading_fn = self._derive if files is None else self._read

    def state(self) -> tuple:
        """Returns what is known of the images so far, for a snapshot."""
        return self._conf_matrix, self._b_conf_matrix, self._predictions

    def add(self, state: tuple) -> None:
        """Adds what a snapshot knows."""
        confusion, at_boundaries, predictions = state
        self._conf_matrix += confusion
        self._b_conf_matrix += at_boundaries
        self._predictions += predictions

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Compares images; classes that the dataset does not list are never the answer.

        Args:
            inputs: each with "file_name".
            outputs: each with "sem_seg", (K, H, W) scores.
        """
        for given, output in zip(inputs, outputs, strict=True):
            scores = output["sem_seg"]
            if self._unlisted:
                scores = scores.clone()
                scores[self._unlisted] = float("-inf")
            self._size = tuple(scores.shape[-2:])
            super().process([given], [{"sem_seg": scores}])

    def evaluate(self) -> OrderedDict:
        """Adds up all ranks; the files that Detectron2 writes appear when they are complete.

        Returns:
            {"sem_seg": {"mIoU", "IoU-<class>", ...}} in percent on the main process, an empty dict
            on the others.
        """
        results = super().evaluate()
        if results is None:
            return OrderedDict()
        if self._writes:
            for file in Path(self._output_dir).iterdir():
                file.replace(Path(self._output_dir).parent / file.name)
            Path(self._output_dir).rmdir()
        return results

    def encode_json_sem_seg(self, sem_seg: np.ndarray, input_file_name: str) -> list[dict]:
        """Encodes a map of classes for the predictions' file, if one is wanted."""
        return super().encode_json_sem_seg(sem_seg, input_file_name) if self._writes else []

    def _derive(self, image_file: str, dtype: type) -> np.ndarray:
        record = self._records[image_file]
        segments = record["segments_info"]
        ids, _ = read_true_ids(record["pan_seg_file_name"], segments, self._size)
        void = len(self._classes)
        return semantic_map(ids, segments, self._classes, void).astype(dtype)

    def _read(self, png: str, dtype: type) -> np.ndarray:
        classes = _read_classes(png).astype(dtype)
        count, ignored = len(self._classes), 255
        if classes.ndim != 2 or (
            strange := set(np.unique(classes).tolist()) - {*self._classes, ignored}
        ):
            found = classes.shape if classes.ndim != 2 else sorted(strange)
            raise ValueError(
                f"{png}: a semantic PNG has one channel with classes 0 to {count - 1} and "
                f"{ignored} where void, this one {found}; prepare it again (datasets/README.md)"
            )
        require_size(png, classes.shape, self._size)
        return np.where(classes == ignored, count, classes)


def _read_classes(png: str) -> np.ndarray:
    try:
        with open_picture(png) as image:
            return np.asarray(image)
    except UNREADABLE as error:
        raise ValueError(f"{png}: cannot be read ({error}); restore it") from error


def semantic_files(task: Task) -> dict[str, str] | None:
    """Returns the semantic PNG of each image file, which is named alike; None if there are none.

    Raises:
        FileNotFoundError: the folder of semantic PNGs is missing.
    """
    root = task.metadata.get("sem_seg_root")
    if root is None:
        return None
    if not is_folder(root):
        raise FileNotFoundError(
            f"{root}: the folder of the semantic PNGs of dataset {task.name!r} does not exist; "
            "create it (datasets/README.md) or set MODEL.KMAX_DEEPLAB.TEST.SEMANTIC_ON to False"
        )
    files = {}
    for record in task.records:
        relative = Path(record["file_name"]).relative_to(task.metadata.image_root)
        files[record["file_name"]] = str(Path(root, relative.with_suffix(".png")))
    return files
