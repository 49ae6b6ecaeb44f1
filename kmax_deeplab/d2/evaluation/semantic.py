"""Semantic evaluator: class probabilities of images enter, mIoU, accuracies and Boundary IoU leave.

The ground truth is the dataset's PNGs of classes where its metadata name a `sem_seg_root`,
otherwise what its panoptic ground truth implies.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata
from detectron2.evaluation import SemSegEvaluator
from PIL import Image

from kmax_deeplab.data.format.categories import NOT_LISTED
from kmax_deeplab.data.format.derived_truth import semantic_map
from kmax_deeplab.data.format.images import UNREADABLE
from kmax_deeplab.data.samples.segments import read_true_ids, require_size
from kmax_deeplab.whole_files import PARTIAL


class SemanticEvaluator(SemSegEvaluator):
    """Detectron2's semantic evaluator for the classes of a panoptic dataset, under "sem_seg".

    Args:
        dataset_name: in the catalogs.
        records: the images to evaluate.
        output_dir: folder for sem_seg_predictions.json, in COCO's format; None writes nothing.

    Raises:
        FileNotFoundError: the folder of semantic PNGs is missing.
    """

    def __init__(
        self, dataset_name: str, records: Sequence[Mapping], output_dir: str | None = None
    ) -> None:
        metadata = MetadataCatalog.get(dataset_name)
        self._writes = output_dir is not None
        self._records = {record["file_name"]: record for record in records}
        self._classes = {index: index for index in range(len(metadata.categories))}
        self._unlisted = [i for i, c in enumerate(metadata.categories.ids) if c <= NOT_LISTED]
        files = semantic_files(dataset_name, metadata, records)
        view = _register_view(metadata, files or {name: name for name in self._records})
        load = self._derive if files is None else self._read
        partial = output_dir and str(Path(output_dir, f".semantic{PARTIAL}"))
        super().__init__(view, output_dir=partial, sem_seg_loading_fn=load)

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
        with Image.open(png) as image:
            return np.asarray(image)
    except UNREADABLE as error:
        raise ValueError(f"{png}: cannot be read ({error}); restore it") from error


def semantic_files(
    dataset_name: str, metadata: Metadata, records: Sequence[Mapping]
) -> dict[str, str] | None:
    """Returns the semantic PNG of each image file, which is named alike; None if there are none.

    Raises:
        FileNotFoundError: the folder of semantic PNGs is missing.
    """
    root = metadata.get("sem_seg_root")
    if root is None:
        return None
    if not Path(root).is_dir():
        raise FileNotFoundError(
            f"{root}: the folder of the semantic PNGs of dataset {dataset_name!r} does not exist; "
            "create it (datasets/README.md) or set MODEL.KMAX_DEEPLAB.TEST.SEMANTIC_ON to False"
        )
    files = {}
    for record in records:
        relative = Path(record["file_name"]).relative_to(metadata.image_root)
        files[record["file_name"]] = str(Path(root, relative.with_suffix(".png")))
    return files


def _register_view(metadata: Metadata, files: Mapping[str, str]) -> str:
    """Registers what Detectron2's evaluator asks the catalogs for and returns its name there."""
    name = f"{metadata.name}, semantic"
    for catalog in (DatasetCatalog, MetadataCatalog):
        catalog.pop(name, None)
    pairs = [{"file_name": image, "sem_seg_file_name": png} for image, png in files.items()]
    DatasetCatalog.register(name, lambda: pairs)
    MetadataCatalog.get(name).set(
        stuff_classes=list(metadata.categories.names),
        stuff_dataset_id_to_contiguous_id=metadata.categories.contiguous,
        # Void is the class after the last: 255 may be a class.
        ignore_label=len(metadata.categories),
    )
    return name
