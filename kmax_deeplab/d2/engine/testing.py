"""A model is tested: a config and a model enter, the results on `DATASETS.TEST` leave."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import DatasetEvaluator
from torch import nn
from torch.utils.data import DataLoader

from kmax_deeplab.d2.engine.loaders import build_test_loader
from kmax_deeplab.d2.evaluation.build import build_evaluator
from kmax_deeplab.modeling.folding import folded_norms


class Tester(DefaultTrainer):
    """The half of Detectron2's default trainer that needs no training: its loaders and evaluators
    of test datasets are ours."""

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: Sequence[DatasetEvaluator] | None = None,
        *,
        folder: str = "",
    ) -> dict[str, Any]:
        """Evaluates a model on `DATASETS.TEST`, its norms folded meanwhile.

        Args:
            cfg: the config.
            model: to evaluate.
            evaluators: of each dataset; None: those of `build_evaluator`.
            folder: of the results below `inference/`.
        """
        if folder and evaluators is None:
            evaluators = [cls.build_evaluator(cfg, name, folder) for name in cfg.DATASETS.TEST]
        with folded_norms(model):
            return super().test(cfg, model, evaluators)

    @classmethod
    def build_test_loader(
        cls, cfg: CfgNode, dataset_name: str, records: Sequence[dict] | None = None
    ) -> DataLoader:
        """Builds this process's loader of one test dataset, `TEST.IMS_PER_BATCH` images a batch.

        Args:
            cfg: the config.
            dataset_name: in the catalogs.
            records: those that are to be evaluated; None: all that the config asks for.
        """
        return build_test_loader(cfg, dataset_name, records)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str, below: str = "") -> DatasetEvaluator:
        """Builds the evaluator of a test dataset, which writes to `inference/`, or below it.

        With several test datasets each has a folder of its own there.
        """
        folder = cls.results_folder(cfg, dataset_name, below)
        return build_evaluator(cfg, dataset_name, str(folder))

    @classmethod
    def results_folder(cls, cfg: CfgNode, dataset_name: str, below: str = "") -> Path:
        """Returns the folder of the results on a test dataset."""
        folder = Path(cfg.OUTPUT_DIR, "inference", below)
        return folder / dataset_name if len(cfg.DATASETS.TEST) > 1 else folder
