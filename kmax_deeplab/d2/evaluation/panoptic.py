"""Panoptic evaluator: predictions of one image after another enter, percentages and files leave.

Each prediction is compared with the ground truth as it comes, on arrays, without files in between.
"""

import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from panopticapi.evaluation import PQStat
from tabulate import tabulate
from torch import Tensor

from kmax_deeplab.d2.evaluation.task import Task
from kmax_deeplab.data.format.categories import NOT_LISTED
from kmax_deeplab.data.format.pngs import png_folder, write_ids, write_predictions_json
from kmax_deeplab.data.samples.segments import read_true_ids
from kmax_deeplab.metrics.panoptic_quality import (
    Comparison,
    LabelledMap,
    Quality,
    compare,
    per_category,
    summarise,
)
from kmax_deeplab.whole_files import WholeFolder, write_json, write_png

logger = logging.getLogger(__name__)

SUFFIXES = {"all": "", "things": "_th", "stuff": "_st"}
"""What Detectron2 appends to "PQ", "SQ" and "RQ" for each group of categories."""


class PanopticEvaluator(DatasetEvaluator):
    """Panoptic quality of a dataset, equal to the official panopticapi's.

    It writes panoptic_results.json and, as asked for, predictions.json and predictions/ in the
    official format and pictures/ of painted predictions.

    Args:
        task: the dataset, and where files go.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._output = task, task.folder
        ids = task.categories.ids
        self._truth = {record["image_id"]: describe_truth(record, ids) for record in task.records}
        self._files = {
            record["image_id"]: png_name(record, task.metadata.panoptic_root)
            for record in task.records
        }
        self._categories = [c for c in task.categories.to_json() if c["id"] > NOT_LISTED]
        if self._output:
            self._predictions_json = self._output / "predictions.json"
            self._pngs = WholeFolder(png_folder(self._predictions_json))
            self._pictures = WholeFolder(self._output / "pictures")
        self.reset()

    def reset(self) -> None:
        """Forgets all images; what an earlier evaluation wrote stays until this one is complete."""
        if self._output and comm.is_main_process() and not self._task.is_continued:
            self._pngs.clear()
            self._pictures.clear()
        comm.synchronize()
        self._compared: dict[int | str, Comparison] = {}
        self._predictions, self._without_pixels = [], []
        self._later = InOrder()
        # Every rank sees its own images, so each draws its share of the pictures.
        share = range(comm.get_rank(), self._task.save_pictures, comm.get_world_size())
        there = list(self._pictures.partial.rglob("*.png")) if self._task.is_continued else []
        self._pictures_left = max(len(share) - len(there), 0)

    def state(self) -> tuple:
        """Returns what is known of the images so far, for a snapshot."""
        self._later.finish()
        return self._compared, self._predictions, self._without_pixels

    def add(self, state: tuple) -> None:
        """Adds what a snapshot knows."""
        compared, predictions, without_pixels = state
        self._compared |= compared
        self._predictions += predictions
        self._without_pixels += without_pixels

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Compares results with the ground truth and writes the files that were asked for.

        Args:
            inputs: each with "image_id", and perhaps "truth" as `EvaluationMapper` reads it.
            outputs: each with "panoptic_seg", a (height, width) integer tensor and its segments
                with contiguous categories; pictures also need "original_image".

        Raises:
            FileNotFoundError: a PNG of the ground truth is missing.
            ValueError: an image is not of this dataset, its PNG is damaged or of another set, or
                its prediction contradicts itself.
        """
        for given, output in zip(inputs, outputs, strict=True):
            ids, segments = output["panoptic_seg"]
            on_host, segments = self._without_unlisted(ids.cpu().numpy(), segments)
            if ids.is_cuda:  # which goes on with the next images meanwhile
                self._later.do(self._compare, given, on_host, segments)
            else:
                self._compare(given, on_host, segments)
            if self._pictures_left:
                file_name = self._files[given["image_id"]]
                self._draw(file_name, output["original_image"], on_host, segments)

    def _compare(self, given: Mapping, ids: np.ndarray, segments: list[dict]) -> None:
        """Adds an image to the statistics and writes its prediction if it is to be kept."""
        image_id = given["image_id"]
        png, true_segments = self._truth_of(image_id)
        converted = self._to_dataset(segments)
        true_ids, missing = given.get("truth") or read_true_ids(png, true_segments, ids.shape)
        file_name = self._files[image_id]
        self._without_pixels += [(file_name, i) for i in missing]
        self._compared[image_id] = compare(
            LabelledMap(ids, converted),
            LabelledMap(true_ids, true_segments),
            {category["id"] for category in self._categories},
            repr(image_id),
        )
        entry = {"image_id": image_id, "file_name": file_name, "segments_info": converted}
        self._predictions.append(entry)
        if self._task.save_predictions:
            write_ids(self._pngs.partial / file_name, ids)

    def evaluate(self) -> OrderedDict:
        """Adds up all ranks, logs a table and writes the files of the whole dataset.

        Returns:
            {"panoptic_seg": {"PQ", "SQ", "RQ", "PQ_th", ..., "PQ-<category>", "SQ-<category>",
            "RQ-<category>", ...}} in percent on the main process, an empty dict on the others.

        Raises:
            ValueError: images to evaluate have no prediction.
        """
        self._later.finish()
        gathered = comm.gather((self._compared, self._predictions, self._without_pixels))
        if not comm.is_main_process():
            return OrderedDict()
        by_image, found, without_pixels = {}, {}, []
        for rank_compared, rank_predictions, rank_without in gathered:
            by_image |= rank_compared
            found |= {entry["image_id"]: entry for entry in rank_predictions}
            without_pixels += rank_without
        self._check_complete(set(found))
        statistics = PQStat()
        for image_id in self._truth:  # in the same order on any number of ranks
            by_image[image_id].add_to(statistics)
        predictions = [found[image_id] for image_id in self._truth]
        if without_pixels:
            logger.warning(
                "%s: %d listed segments have no pixel and count for nothing, e.g. segment %d of %s",
                *(self._task.name, len(without_pixels), without_pixels[0][1], without_pixels[0][0]),
            )
        if self._task.save_pictures:
            self._pictures.finish()
        if self._task.save_predictions:
            self._pngs.finish()
            write_predictions_json(self._predictions_json, predictions, self._categories)
        groups = summarise(statistics, self._categories)
        classes = per_category(statistics, self._categories)
        named = {entry["name"]: classes[entry["id"]] for entry in self._categories}
        rows = [*groups.items(), *named.items()]
        logger.info("Panoptic quality on %s:\n%s", self._task.name, format_table(rows))
        results = OrderedDict(panoptic_seg=_to_detectron2(groups, named))
        if self._output:
            content = {"num_images": len(predictions), **_without_nan(results["panoptic_seg"])}
            write_json(self._output / "panoptic_results.json", content, indent=1)
        return results

    def _truth_of(self, image_id: int | str) -> tuple[str, list[dict]]:
        if image_id not in self._truth:
            raise ValueError(
                f"image {image_id!r} is not annotated in {self._task.metadata.panoptic_json}, the "
                f"ground truth of dataset {self._task.name!r}"
            )
        return self._truth[image_id]

    def _without_unlisted(
        self, ids: np.ndarray, segments: list[dict]
    ) -> tuple[np.ndarray, list[dict]]:
        """Makes segments void whose class the dataset does not list (see `align`)."""
        unlisted = [
            s["id"] for s in segments if self._task.categories.ids[s["category_id"]] <= NOT_LISTED
        ]
        if not unlisted:
            return ids, segments
        kept = [segment for segment in segments if segment["id"] not in unlisted]
        return np.where(np.isin(ids, unlisted), 0, ids), kept

    def _to_dataset(self, segments: list[dict]) -> list[dict]:
        return [
            {"id": segment["id"], "category_id": self._task.categories.ids[segment["category_id"]]}
            for segment in segments
        ]

    def _draw(self, file_name: str, image: Tensor, ids: np.ndarray, segments: list[dict]) -> None:
        # Drawing needs fonts and shapes that evaluation without pictures does not.
        from kmax_deeplab.visualize.overlays import draw_panoptic

        self._pictures_left -= 1
        picture = draw_panoptic(image.cpu().numpy(), ids, segments, self._task.categories)
        write_png(self._pictures.partial / file_name, picture)

    def _check_complete(self, predicted: set) -> None:
        if missing := [image_id for image_id in self._truth if image_id not in predicted]:
            raise ValueError(
                f"{len(missing)} of {len(self._truth)} images of {self._task.name!r} have no "
                f"prediction, e.g. {missing[:5]}; set TEST.MAX_IMAGES to evaluate a part"
            )


class InOrder:
    """Does things one after the other in a thread; what one raises is raised at a later call."""

    MOST_WAITING = 32

    def __init__(self) -> None:
        self._thread, self._waiting = ThreadPoolExecutor(1), deque()

    def do(self, function: Callable[..., None], *arguments: object) -> None:
        """Does one more thing, soon; waits if too many are to be done already."""
        while self._waiting and (
            self._waiting[0].done() or len(self._waiting) >= self.MOST_WAITING
        ):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(function, *arguments))

    def finish(self) -> None:
        """Returns when all is done."""
        while self._waiting:
            self._waiting.popleft().result()


def describe_truth(record: Mapping, ids: Sequence[int]) -> tuple[str, list[dict]]:
    """Returns the PNG of a record, and its segments with the category ids of the dataset."""
    segments = [
        {**segment, "category_id": ids[segment["category_id"]]}
        for segment in record["segments_info"]
    ]
    return record["pan_seg_file_name"], segments


def png_name(record: Mapping, root: str) -> str:
    """Returns the name of a record's PNG below the folder of the dataset's PNGs."""
    return Path(record["pan_seg_file_name"]).relative_to(root).as_posix()


def format_table(rows: Sequence[tuple[str, Quality]]) -> str:
    """Lists qualities by name, in percent; "-" where no image has the category.

    Names may repeat: a class may be called like a group.
    """
    numbers = [
        [name, *(_percent(value) for value in (quality.pq, quality.sq, quality.rq))]
        for name, quality in rows
    ]
    return tabulate(numbers, ["", "PQ", "SQ", "RQ"], tablefmt="pipe", disable_numparse=True)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _to_detectron2(
    groups: Mapping[str, Quality], classes: Mapping[str, Quality]
) -> dict[str, float]:
    """Names every number as Detectron2 does, in percent; NaN where there is none."""
    numbers = {}
    for group, suffix in SUFFIXES.items():
        for metric in ("pq", "sq", "rq"):
            numbers[metric.upper() + suffix] = 100 * getattr(groups[group], metric)
    for name, quality in classes.items():
        for metric in ("pq", "sq", "rq"):
            numbers[f"{metric.upper()}-{name}"] = 100 * getattr(quality, metric)
    return numbers


def _without_nan(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}
