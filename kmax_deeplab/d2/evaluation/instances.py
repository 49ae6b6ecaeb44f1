"""Instance evaluator: masks with scores of one image after another enter, COCO's mask AP leaves.

The ground truth is the dataset's instance JSON where its metadata name a `json_file`, otherwise the
segments of things of its panoptic ground truth, crowds included.
"""

import contextlib
import io
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from kmax_deeplab.d2.evaluation.task import Task
from kmax_deeplab.data.format.categories import NOT_LISTED
from kmax_deeplab.data.format.contents import (
    ANY,
    FLAG,
    ID,
    NUMBER,
    TEXT,
    WHOLE,
    Fields,
    read_lists,
)
from kmax_deeplab.data.format.derived_truth import encode_mask, instance_annotations
from kmax_deeplab.data.samples.segments import read_true_ids
from kmax_deeplab.whole_files import write_json

logger = logging.getLogger(__name__)

INSTANCES = {
    "images": Fields({"id": ID}),
    "annotations": Fields(
        {"id": WHOLE, "image_id": ID, "category_id": WHOLE, "segmentation": ANY, "area": NUMBER},
        {"iscrowd": FLAG},
    ),
    "categories": Fields({"id": WHOLE, "name": TEXT}),
}
"""What an instance JSON must hold. Its areas say what is small, medium and large, as in COCO."""
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
"""Detectron2's names of the first of COCO's statistics, in their order."""


class InstanceEvaluator(DatasetEvaluator):
    """Mask AP under "segm" by the official pycocotools, on the things of a panoptic dataset.

    Args:
        task: the dataset; coco_instances_results.json is written if predictions are to be saved.

    Raises:
        FileNotFoundError: the instance JSON is missing.
    """

    def __init__(self, task: Task) -> None:
        self._name, self._output = task.name, task.folder if task.save_predictions else None
        self._records = {record["image_id"]: record for record in task.records}
        self._categories = task.categories
        self._json = task.metadata.get("json_file")
        if self._json and not Path(self._json).is_file():
            raise FileNotFoundError(
                f"{self._json}: the instance JSON of dataset {self._name!r} does not exist; "
                "create it (datasets/README.md) or set MODEL.KMAX_DEEPLAB.TEST.INSTANCE_ON to False"
            )
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self._images, self._found, self._truth = [], [], []

    def state(self) -> tuple:
        """Returns what is known of the images so far, for a snapshot."""
        return self._images, self._found, self._truth

    def add(self, state: tuple) -> None:
        """Adds what a snapshot knows."""
        for own, more in zip((self._images, self._found, self._truth), state, strict=True):
            own += more

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Encodes the instances of things; stuff has no instances to compare with.

        Args:
            inputs: each with "image_id".
            outputs: each with "instances": `pred_masks` (M, H, W), `scores`, `pred_classes`.
        """
        for given, output in zip(inputs, outputs, strict=True):
            image_id, instances = given["image_id"], output["instances"].to("cpu")
            height, width = instances.image_size
            self._images.append({"id": image_id, "height": height, "width": width})
            self._found += self._encode(image_id, instances)
            if self._json is None:
                self._truth += self._derive(image_id, instances.image_size)

    def evaluate(self) -> OrderedDict:
        """Gathers all ranks and runs COCO's evaluation on exactly the images that were processed.

        Returns:
            {"segm": {"AP", "AP50", ..., "AP-<category>", ...}} in percent, NaN where nothing can be
            compared, on the main process; an empty dict on the others.
        """
        gathered = comm.gather((self._images, self._found, self._truth))
        if not comm.is_main_process():
            return OrderedDict()
        images, found, truth = (
            [entry for part in parts for entry in part] for parts in zip(*gathered, strict=True)
        )
        order = {image_id: position for position, image_id in enumerate(self._records)}
        images.sort(key=lambda image: order[image["id"]])  # whoever predicted them
        for entries in (found, truth):
            entries.sort(key=lambda entry: order[entry["image_id"]])
        if self._output:
            write_json(self._output / "coco_instances_results.json", found)
        if self._json is None:  # numpy makes texts of numbers that it sorts beside texts
            number = {image["id"]: position for position, image in enumerate(images, start=1)}
            images = [{**image, "id": number[image["id"]]} for image in images]
            found, truth = (
                [{**entry, "image_id": number[entry["image_id"]]} for entry in entries]
                for entries in (found, truth)
            )
        numbers = compute_ap(self._load_truth(images, truth), found, [i["id"] for i in images])
        rows = [[name, f"{ap:.2f}"] for name, ap in numbers.items() if not math.isnan(ap)]
        table = tabulate(rows, ["", "%"], tablefmt="pipe", disable_numparse=True)
        logger.info("Instances on %s:\n%s", self._name, table)
        return OrderedDict(segm=numbers)

    def _encode(self, image_id: int | str, instances: Instances) -> list[dict]:
        classes, scores = instances.pred_classes.tolist(), instances.scores.tolist()
        found = zip(classes, scores, instances.pred_masks, strict=True)
        return [
            {
                "image_id": image_id,
                "category_id": self._categories.ids[index],
                "score": score,
                "segmentation": encode_mask(mask.numpy()),
            }
            for index, score, mask in found
            if self._categories.is_thing[index] and self._categories.ids[index] > NOT_LISTED
        ]

    def _derive(self, image_id: int | str, size: tuple[int, int]) -> list[dict]:
        record = self._records[image_id]
        ids, missing = read_true_ids(record["pan_seg_file_name"], record["segments_info"], size)
        things = [
            {**segment, "category_id": self._categories.ids[segment["category_id"]]}
            for segment in record["segments_info"]
            if segment["isthing"] and segment["id"] not in missing
        ]
        annotations = instance_annotations(ids, things)
        return [{"image_id": image_id, **annotation} for annotation in annotations]

    def _load_truth(self, images: list[dict], annotations: list[dict]) -> COCO:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            if self._json:
                truth.dataset = read_lists(self._json, INSTANCES)
                truth.createIndex()
                return truth
            known = self._categories
            truth.dataset = {
                "images": images,
                "annotations": [{**a, "id": i} for i, a in enumerate(annotations, start=1)],
                "categories": [
                    {"id": i, "name": name}
                    for i, name, is_thing in known.rows()
                    if is_thing and i > NOT_LISTED
                ],
            }
            truth.createIndex()
            return truth


def compute_ap(truth: COCO, found: list[dict], image_ids: Sequence[int | str]) -> dict[str, float]:
    """Runs the official evaluation of masks.

    Args:
        truth: ground truth; images beyond `image_ids` are left out.
        found: results in COCO's format.
        image_ids: the images to evaluate.

    Returns:
        METRICS and "AP-<category>" in percent; NaN where there is no ground truth.
    """
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        results = truth.loadRes(found) if found else COCO()
        evaluation = COCOeval(truth, results, "segm")
        evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    logger.info("pycocotools:\n%s", log.getvalue())
    numbers = {name: _percent(evaluation.stats[i]) for i, name in enumerate(METRICS)}
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU, recall, category
    for index, category in enumerate(truth.loadCats(evaluation.params.catIds)):
        known = precision[..., index][precision[..., index] > -1]
        numbers[f"AP-{category['name']}"] = _percent(np.mean(known) if known.size else -1)
    return numbers


def _percent(share: float) -> float:
    return 100 * float(share) if share >= 0 else float("nan")
