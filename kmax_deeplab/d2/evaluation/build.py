"""Evaluation of a config: a test dataset enters, its images and evaluators of all outputs leave.

Panoptic, semantic and instance results come from the same forward pass. Cityscapes' semantic and
instance figures are those of the official cityscapesScripts, instances are scored by pycocotools.
"""

import itertools
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.data.catalog import Metadata
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, verify_results
from detectron2.utils import comm
from tabulate import tabulate

from kmax_deeplab.d2.data.catalog import PanopticMetadata
from kmax_deeplab.d2.evaluation.cityscapes import (
    CityscapesInstanceEvaluator,
    CityscapesSemanticEvaluator,
)
from kmax_deeplab.d2.evaluation.instances import InstanceEvaluator
from kmax_deeplab.d2.evaluation.panoptic import PanopticEvaluator
from kmax_deeplab.d2.evaluation.semantic import SemanticEvaluator
from kmax_deeplab.d2.evaluation.snapshots import Snapshots, State
from kmax_deeplab.d2.evaluation.task import Task, make_task, require_panoptic
from kmax_deeplab.d2.ranks.group import patient_barrier
from kmax_deeplab.data.check.query_count import describe_excess
from kmax_deeplab.data.format.measures import count_queries
from kmax_deeplab.whole_files import write_json

logger = logging.getLogger(__name__)

COCO = "coco_panoptic_seg"
ON_ANY = {
    "PANOPTIC_ON": PanopticEvaluator,
    "SEMANTIC_ON": SemanticEvaluator,
    "INSTANCE_ON": InstanceEvaluator,
}
EVALUATORS: dict[str, dict[str, Callable[[Task], DatasetEvaluator]]] = {
    COCO: ON_ANY,
    "cityscapes_panoptic_seg": {
        **ON_ANY,
        "SEMANTIC_ON": CityscapesSemanticEvaluator,
        "INSTANCE_ON": CityscapesInstanceEvaluator,
    },
}
"""What evaluates each output, by the `evaluator_type` in a dataset's metadata."""
RESULTS = {
    (name,)
    for name in (
        *("results.json", "panoptic_results.json", "coco_instances_results.json"),
        *("predictions.json", "predictions", "pictures"),
        *("sem_seg_predictions.json", "sem_seg_evaluation.pth"),
        *("cityscapes_semantic", "cityscapes_instances"),
    )
}
"""What an evaluation writes into its folder."""
MAIN_FIGURES = ("PQ", "SQ", "RQ", "PQ_th", "PQ_st", "AP", "AP50", "mIoU", "IoU")
"""What the table of a whole evaluation shows, where it was computed."""


def evaluated_records(cfg: CfgNode, dataset_name: str) -> list[dict]:
    """Returns the records of a test dataset, or TEST.MAX_IMAGES of them, evenly spread over it."""
    records, count = DatasetCatalog.get(dataset_name), cfg.TEST.MAX_IMAGES
    if not 0 < count < len(records):
        return records
    return [records[i * len(records) // count] for i in range(count)]


class AllMetrics(DatasetEvaluators):
    """Several evaluators that look at the same images; their results go to a table and a JSON.

    Args:
        evaluators: of one dataset.
        dataset_name: in the catalogs.
        num_images: number of images that are evaluated.
        output_folder: where results.json goes.
        snapshots: where snapshots lie if the evaluation may be killed and gone on with, which needs
            evaluators with `state()` and `add(state)`.

    Raises:
        ValueError: such evaluators are needed, and these are others.
    """

    def __init__(
        self,
        evaluators: Sequence[DatasetEvaluator],
        dataset_name: str,
        num_images: int,
        output_folder: str,
        snapshots: Snapshots | None = None,
    ) -> None:
        super().__init__(evaluators)
        self._name, self._num_images, self._folder = dataset_name, num_images, Path(output_folder)
        unable = [type(e).__name__ for e in evaluators if not hasattr(e, "state")]
        self._snapshots, self._seen = None if unable else snapshots, set()
        if unable and snapshots and snapshots.is_shared:
            raise ValueError(
                f"{', '.join(unable)} cannot be shared by the tasks of an array: it has no state() "
                "and add(state) (see PanopticEvaluator)"
            )

    postponed = False
    """Whether others have to look at images before results can be told."""

    def reset(self) -> None:
        """Forgets all images, but for those of snapshots, which the main process takes over."""
        takes_over = self._snapshots and comm.is_main_process() and not self.postponed
        seen, states = self._snapshots.load() if takes_over else (set(), [])
        patient_barrier()  # others write snapshots of what they see from here on
        super().reset()
        self._take_over(seen, states)

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Hands images to all evaluators; writes a snapshot when it is time."""
        super().process(inputs, outputs)
        if self._snapshots is None:
            return
        self._seen |= {given["image_id"] for given in inputs}
        if self._snapshots.is_due():
            self.save()

    def save(self) -> None:
        """Writes a snapshot of this process."""
        self._snapshots.save(self._seen, [evaluator.state() for evaluator in self._evaluators])

    def _take_over(self, seen: set, states: list[State]) -> None:
        self._seen = seen
        for state in states:
            for evaluator, own in zip(self._evaluators, state, strict=True):
                evaluator.add(own)

    def evaluate(self) -> OrderedDict:
        """Returns {task: {metric: percent}} on the main process, an empty dict on the others."""
        if self.postponed:
            return OrderedDict()
        results = OrderedDict()
        for evaluator in self._evaluators:
            patient_barrier()  # what the main process does alone may take long
            results.update(evaluator.evaluate() or {})
        patient_barrier()
        if comm.is_main_process():
            content = {"dataset": self._name, "num_images": self._num_images, **_for_json(results)}
            write_json(self._folder / "results.json", content, indent=1)
            logger.info(
                "%s, %d images:\n%s", self._name, self._num_images, format_main_figures(results)
            )
        return results


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_folder: str, snapshots: Snapshots | None = None
) -> AllMetrics:
    """Builds the evaluators of all outputs that MODEL.KMAX_DEEPLAB.TEST turns on.

    Args:
        dataset_name: in the catalogs.
        output_folder: where results and, as configured, predictions and pictures go.
        snapshots: where snapshots lie if the evaluation may be killed.

    Raises:
        FileNotFoundError: ground truth that an output needs is missing.
        ValueError: no output is on, the dataset has no panoptic ground truth, or it lies where the
            results go.
    """
    test = cfg.MODEL.KMAX_DEEPLAB.TEST
    require_panoptic(dataset_name)
    records = evaluated_records(cfg, dataset_name)
    task = make_task(
        dataset_name,
        output_folder,
        records=records,
        save_predictions=cfg.TEST.SAVE_PREDICTIONS,
        save_pictures=cfg.MODEL.KMAX_DEEPLAB.SAVE_VIS_NUM,
        is_continued=snapshots is not None and snapshots.is_continued,
    )
    evaluators = find_evaluators(task)
    switched_on = [kind for key, kind in evaluators.items() if test[key]]
    if not switched_on:
        raise ValueError(
            f"nothing to evaluate on {dataset_name!r}: turn on one of {list(evaluators)} in "
            "MODEL.KMAX_DEEPLAB.TEST"
        )
    if cfg.TEST.MAX_IMAGES:
        logger.info(
            "TEST.MAX_IMAGES: the figures are of %d images of %s", len(records), dataset_name
        )
    refuse_overwriting(output_folder, task.metadata, records)
    warn_of_excess(cfg, dataset_name, records)
    built = [kind(task) for kind in switched_on]
    return AllMetrics(built, dataset_name, len(records), output_folder, snapshots)


def find_evaluators(task: Task) -> dict[str, Callable[[Task], DatasetEvaluator]]:
    """Returns what evaluates each output of a dataset.

    Raises:
        ValueError: DATASETS.PANOPTIC names evaluators that there are not.
    """
    kind = task.metadata.get("evaluator_type", COCO)
    if kind not in EVALUATORS and not isinstance(task.metadata, PanopticMetadata):
        return ON_ANY  # registered by others, with names of their own
    if kind not in EVALUATORS:
        raise ValueError(
            f"dataset {task.name!r} has the evaluator_type {kind!r}; there are {list(EVALUATORS)}"
        )
    return EVALUATORS[kind]


def refuse_overwriting(output_folder: str, metadata: Metadata, records: Sequence[Mapping]) -> None:
    """Refuses to evaluate a dataset of which results would replace files.

    Raises:
        ValueError: naming the first such file.
    """
    keys = ("panoptic_json", "json_file", "sem_seg_root", "gt_dir")
    places = [place for key in keys if (place := metadata.get(key))]
    files = (r[key] for r in records for key in ("file_name", "pan_seg_file_name"))
    folder = Path(os.path.realpath(output_folder))
    for path in itertools.chain(places, files):
        real = Path(os.path.realpath(path))
        if real.is_relative_to(folder) and real.relative_to(folder).parts[:1] in RESULTS:
            raise ValueError(
                f"{path} of dataset {metadata.name!r} lies where results go, which would replace "
                "it: choose another OUTPUT_DIR"
            )


def warn_of_excess(cfg: CfgNode, name: str, records: Sequence[Mapping]) -> None:
    """Logs how many images have more segments than the model has queries, if any have.

    Of windows each has all queries, and the records do not say how many segments lie in one.
    """
    if cfg.INPUT.TILE_TEST:
        return
    needed = [count_queries(record["segments_info"]) for record in records]
    if excess := describe_excess(name, needed, cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES):
        logger.warning(excess)


def format_main_figures(results: Mapping[str, Mapping[str, float]]) -> str:
    """Tabulates the main figures of all tasks, in percent."""
    figures = {
        name: value
        for numbers in results.values()
        for name, value in numbers.items()
        if name in MAIN_FIGURES
    }
    values = ["-" if math.isnan(value) else f"{value:.2f}" for value in figures.values()]
    return tabulate([values], list(figures), tablefmt="pipe", disable_numparse=True)


def verify(cfg: CfgNode, results: Mapping[str, Any]) -> None:
    """Compares results with TEST.EXPECTED_RESULTS, [task, metric, value, tolerance] each.

    With several test datasets, a task is called "<dataset>/<task>".

    Raises:
        KeyError: a task that was not evaluated.
        SystemExit: a number is missing or differs by more than its tolerance.
    """
    tasks = dict(results)
    for dataset in set(tasks) & set(cfg.DATASETS.TEST):
        tasks |= {f"{dataset}/{task}": numbers for task, numbers in tasks.pop(dataset).items()}
    if unknown := {task for task, *_ in cfg.TEST.EXPECTED_RESULTS} - tasks.keys():
        raise KeyError(f"TEST.EXPECTED_RESULTS names {sorted(unknown)}; there are {sorted(tasks)}")
    verify_results(cfg, tasks)


def _for_json(results: Mapping[str, Mapping[str, float]]) -> dict:
    return {
        task: {name: None if math.isnan(value) else value for name, value in numbers.items()}
        for task, numbers in results.items()
    }
