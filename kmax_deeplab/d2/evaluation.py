"""Evaluators of a config: which outputs are on enters, the evaluators that score them leave.

Panoptic results are scored here, semantic and instance results by Detectron2's evaluators: for
Cityscapes those that run the official cityscapesScripts.
"""

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    CityscapesSemSegEvaluator,
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    SemSegEvaluator,
)

from kmax_deeplab.d2.panoptic_evaluator import PanopticEvaluator

__all__ = ["InstanceEvaluator", "PanopticEvaluator", "build_evaluator"]


class InstanceEvaluator(COCOEvaluator):
    """Mask AP under "segm", for things whose contiguous ids need not be the first ones.

    Args:
        dataset_name: in the catalogs, with `json_file` in COCO's instance format.
        output_dir: folder for predictions; None writes nothing.
    """

    def __init__(self, dataset_name: str, output_dir: str | None) -> None:
        super().__init__(dataset_name, tasks=("segm",), output_dir=output_dir, use_fast_impl=False)
        # Detectron2 expects things to be the classes 0, 1, ... and to be named in that order; the
        # classes of a panoptic model are those of its dataset, so ids are converted here instead.
        contiguous = self._metadata.thing_dataset_id_to_contiguous_id
        self._dataset_ids = {index: category_id for category_id, index in contiguous.items()}
        categories = self._coco_api.loadCats(sorted(self._coco_api.getCatIds()))
        self._metadata = Metadata(
            name=dataset_name,
            json_file=self._metadata.json_file,
            thing_classes=[category["name"] for category in categories],
        )

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Encodes the instances of things; stuff has no instances to compare with."""
        start = len(self._predictions)
        super().process(inputs, outputs)
        for prediction in self._predictions[start:]:
            prediction["instances"] = [
                {**instance, "category_id": self._dataset_ids[instance["category_id"]]}
                for instance in prediction["instances"]
                if instance["category_id"] in self._dataset_ids
            ]


def build_evaluator(cfg: CfgNode, dataset_name: str, output_folder: str) -> DatasetEvaluator:
    """Builds the evaluators of all outputs that MODEL.KMAX_DEEPLAB.TEST turns on.

    Args:
        dataset_name: in the catalogs.
        output_folder: where results and, as configured, predictions and pictures go.

    Raises:
        ValueError: no output is on, or the dataset lacks the ground truth of one.
    """
    test = cfg.MODEL.KMAX_DEEPLAB.TEST
    builders = {
        "PANOPTIC_ON": lambda: _panoptic(cfg, dataset_name, output_folder),
        "SEMANTIC_ON": lambda: _semantic(dataset_name, output_folder),
        "INSTANCE_ON": lambda: _instance(dataset_name, output_folder),
    }
    evaluators = [build() for key, build in builders.items() if test[key]]
    if not evaluators:
        raise ValueError(
            f"nothing to evaluate on {dataset_name!r}: turn on one of {list(builders)} in "
            "MODEL.KMAX_DEEPLAB.TEST"
        )
    return DatasetEvaluators(evaluators)


def _panoptic(cfg: CfgNode, dataset_name: str, output_folder: str) -> DatasetEvaluator:
    metadata = MetadataCatalog.get(dataset_name)
    for needed in ("panoptic_json", "panoptic_root"):
        if metadata.get(needed) is None:
            raise _lacks(dataset_name, "PANOPTIC_ON", f"{needed} in its metadata")
    return PanopticEvaluator(
        dataset_name,
        output_folder,
        save_predictions=cfg.TEST.SAVE_PREDICTIONS,
        save_pictures=cfg.MODEL.KMAX_DEEPLAB.SAVE_VIS_NUM,
    )


def _semantic(dataset_name: str, output_folder: str) -> DatasetEvaluator:
    if _is_cityscapes(dataset_name):
        return CityscapesSemSegEvaluator(dataset_name)
    if "sem_seg_file_name" not in DatasetCatalog.get(dataset_name)[0]:
        raise _lacks(dataset_name, "SEMANTIC_ON", "sem_seg_file_name in its records")
    return SemSegEvaluator(dataset_name, output_dir=output_folder)


def _instance(dataset_name: str, output_folder: str) -> DatasetEvaluator:
    if _is_cityscapes(dataset_name):
        return CityscapesInstanceEvaluator(dataset_name)
    if MetadataCatalog.get(dataset_name).get("json_file") is None:
        raise _lacks(dataset_name, "INSTANCE_ON", "json_file in its metadata")
    return InstanceEvaluator(dataset_name, output_folder)


def _is_cityscapes(dataset_name: str) -> bool:
    return MetadataCatalog.get(dataset_name).get("evaluator_type") == "cityscapes_panoptic_seg"


def _lacks(dataset_name: str, key: str, what: str) -> ValueError:
    return ValueError(
        f"dataset {dataset_name!r} has no {what}, but MODEL.KMAX_DEEPLAB.TEST.{key} asks to "
        "evaluate that output: add the ground truth or set the key to False"
    )
