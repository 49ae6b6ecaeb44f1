"""The loaders of this process: a config enters, batches of samples or of test images leave."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MapDataset
from detectron2.data.samplers import InferenceSampler
from torch.utils.data import DataLoader

from kmax_deeplab.d2.data.catalog import panoptic_jsons
from kmax_deeplab.d2.data.mapper import EvaluationMapper, build_train_mapper
from kmax_deeplab.d2.data.shared import forget
from kmax_deeplab.d2.data.sources import records_of
from kmax_deeplab.d2.data.stream import TrainingStream, build_stream_loader, make_loader
from kmax_deeplab.d2.evaluation.build import evaluated_records, warn_of_excess


def build_train_loader(cfg: CfgNode, seed: int = 0, first_position: int = 0) -> DataLoader:
    """Builds the loader of `DATASETS.TRAIN`.

    Args:
        cfg: the config.
        seed: of the run.
        first_position: in its data, where the first batch begins.

    Raises:
        ValueError: another `DATALOADER.SAMPLER_TRAIN` than the one that exists here.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise ValueError(
            f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}: only "
            "'TrainingSampler' (shuffled epochs) is supported"
        )
    found = records_of(cfg.DATASETS.TRAIN)
    warn_of_excess(cfg, " + ".join(cfg.DATASETS.TRAIN), found)
    records = DatasetFromList(found, copy=False)  # one serialised list, shared by all workers
    tested = panoptic_jsons(cfg.DATASETS.TEST)
    forget(path for path in panoptic_jsons(cfg.DATASETS.TRAIN) if path not in tested)
    stream = TrainingStream(records, build_train_mapper(cfg, records), seed)
    return build_stream_loader(
        stream, cfg.SOLVER.IMS_PER_BATCH, first_position, cfg.DATALOADER.NUM_WORKERS
    )


def build_test_loader(
    cfg: CfgNode, dataset_name: str, records: Sequence[dict] | None = None
) -> DataLoader:
    """Builds the loader of one test dataset, `TEST.IMS_PER_BATCH` images a batch.

    Args:
        cfg: the config.
        dataset_name: in the catalogs.
        records: those that are to be evaluated; None: all that the config asks for.
    """
    records = evaluated_records(cfg, dataset_name) if records is None else list(records)
    mapper = EvaluationMapper(cfg, with_truth=cfg.MODEL.KMAX_DEEPLAB.TEST.PANOPTIC_ON)
    return make_loader(
        MapDataset(DatasetFromList(records, copy=False), mapper),
        InferenceSampler(len(records)),
        cfg.TEST.IMS_PER_BATCH,
        cfg.DATALOADER.NUM_WORKERS,
    )
