"""Official figures of Cityscapes: outputs of images enter, cityscapesScripts' AP and IoU leave.

All ranks write their predictions, in the format of the benchmark's server, into one folder below
the output folder, which several machines have to share; the main process runs the official code.
"""

import logging
import os
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from PIL import Image

from kmax_deeplab.d2.evaluation.task import Task
from kmax_deeplab.whole_files import WholeFolder

logger = logging.getLogger(__name__)

NUMPY_OF_THE_SCRIPTS = SimpleNamespace(
    **{
        **vars(np),
        "in1d": np.isin,
        "count_nonzero": lambda values: int(np.count_nonzero(values)),
    }
)
"""numpy as cityscapesScripts 2.3 knows it: 2.4 has no `in1d` and counts in numbers of its own."""


class OfficialEvaluator(DatasetEvaluator):
    """What the two evaluators share: the files, and who evaluates.

    Args:
        task: the dataset, whose metadata name `gt_dir`, the folder of a split below gtFine.
            Predictions go into `directory` of its folder, in the place of what is there, once all
            are evaluated, and stay there if they are to be saved.
    """

    truth: str  # last part of the name of a ground truth's file
    suffix: str  # of a prediction's file
    directory: str  # of the predictions

    def __init__(self, task: Task) -> None:
        self._categories = task.categories
        self._truth_folder = Path(task.metadata.gt_dir).absolute()
        self._image_ids = [record["image_id"] for record in task.records]
        self._whole = WholeFolder(task.folder.absolute() / self.directory)
        self._is_continued = task.is_continued
        self._keep, self._folder = task.save_predictions, self._whole.partial

    @abstractmethod
    def write(self, image_id: str, output: Mapping) -> None:
        """Writes the prediction of an image to `prediction_file(image_id)`."""

    @abstractmethod
    def score(self, predictions: list[str], truths: list[str]) -> dict[str, dict[str, float]]:
        """Runs the official code on files in the order of the images; names figures in percent."""

    def prediction_file(self, image_id: str) -> Path:
        """Returns the file that the official code reads for an image."""
        return self._folder / f"{image_id}_pred{self.suffix}"

    def reset(self) -> None:
        """Forgets all images; what an earlier evaluation wrote stays until this one is complete."""
        if comm.is_main_process():
            if not self._is_continued:
                self._whole.clear()
            self._folder.mkdir(parents=True, exist_ok=True)
        comm.synchronize()

    def state(self) -> None:
        """Returns nothing for a snapshot: what is known lies in files."""

    def add(self, state: None) -> None:
        """Adds nothing."""

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Writes predictions.

        Args:
            inputs: each with "image_id".
            outputs: each with "sem_seg" or "instances".
        """
        for given, output in zip(inputs, outputs, strict=True):
            self.write(given["image_id"], output)

    def evaluate(self) -> OrderedDict:
        """Runs the official evaluation on the main process; the others get an empty dict.

        Raises:
            FileNotFoundError: a prediction or the ground truth of an image is missing.
        """
        comm.synchronize()
        if not comm.is_main_process():
            return OrderedDict()
        predictions = [self.prediction_file(image_id) for image_id in self._image_ids]
        truths = [
            self._truth_folder / image_id.split("_")[0] / f"{image_id}_gtFine_{self.truth}"
            for image_id in self._image_ids
        ]
        for path in (*truths, *predictions):
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is missing; gtFine must be complete (datasets/README.md), and "
                    "several machines must share OUTPUT_DIR"
                )
        with _working_in(self._folder):  # the official code leaves files behind
            results = self.score([str(p) for p in predictions], [str(p) for p in truths])
        if self._keep:
            self._whole.finish()
        else:
            self._whole.clear()
        return OrderedDict(results)


class CityscapesSemanticEvaluator(OfficialEvaluator):
    """IoU under "sem_seg": of classes and categories (`_sup`), `iIoU` weighted by instance size."""

    truth, suffix, directory = "labelIds.png", ".png", "cityscapes_semantic"

    def write(self, image_id: str, output: Mapping) -> None:
        """Writes the label ids of an image from its "sem_seg", (K, H, W)."""
        classes = output["sem_seg"].argmax(dim=0).cpu().numpy()
        label_ids = np.array(self._categories.ids, dtype=np.uint8)[classes]
        Image.fromarray(label_ids).save(self.prediction_file(image_id))

    def score(self, predictions: list[str], truths: list[str]) -> dict[str, dict[str, float]]:
        """Runs evalPixelLevelSemanticLabeling."""
        from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official

        results = official.evaluateImgLists(predictions, truths, _settings(official, self._folder))
        kinds = {
            "IoU": "averageScoreClasses",
            "iIoU": "averageScoreInstClasses",
            "IoU_sup": "averageScoreCategories",
            "iIoU_sup": "averageScoreInstCategories",
        }
        averages = {name: 100 * results[key] for name, key in kinds.items()}
        names = self._categories.names
        classes = {f"IoU-{name}": 100 * results["classScores"][name] for name in names}
        return {"sem_seg": {**averages, **classes}}


class CityscapesInstanceEvaluator(OfficialEvaluator):
    """AP and AP50 of things under "segm"."""

    truth, suffix, directory = "instanceIds.png", ".txt", "cityscapes_instances"

    def write(self, image_id: str, output: Mapping) -> None:
        """Writes a mask per thing of "instances", and the list of masks with classes and scores."""
        instances, lines = output["instances"].to("cpu"), []
        for number, index in enumerate(instances.pred_classes.tolist()):
            if self._categories.is_thing[index]:
                mask = Path(self._folder, f"{image_id}_{number}.png")
                pixels = instances.pred_masks[number].numpy().astype(np.uint8) * 255
                Image.fromarray(pixels).save(mask)
                score = float(instances.scores[number])
                lines.append(f"{mask.name} {self._categories.ids[index]} {score}\n")
        self.prediction_file(image_id).write_text("".join(lines), encoding="utf-8")

    def score(self, predictions: list[str], truths: list[str]) -> dict[str, dict[str, float]]:
        """Runs evalInstanceLevelSemanticLabeling."""
        from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as official

        settings = _settings(official, self._folder)
        settings.gtInstancesFile = str(self._folder / "gtInstances.json")
        results = official.evaluateImgLists(predictions, truths, settings)["averages"]
        classes = {
            f"AP-{name}": 100 * float(numbers["ap"]) for name, numbers in results["classes"].items()
        }
        averages = {"AP": 100 * results["allAp"], "AP50": 100 * results["allAp50%"]}
        return {"segm": {**averages, **classes}}


def _settings(official: ModuleType, folder: Path) -> object:
    """Returns the settings of an official script, made quiet and pointed to the predictions."""
    official.np = NUMPY_OF_THE_SCRIPTS
    settings = official.args
    settings.predictionPath, settings.predictionWalk = str(folder), None
    settings.JSONOutput, settings.quiet, settings.colorized = False, True, False
    return settings


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
