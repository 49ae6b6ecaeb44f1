"""From the datasets that a config names to a config that fits them, before anything is built.

What enters: a config that is not frozen yet. What leaves: registered datasets, DATASETS.TRAIN and
TEST and MODEL.SEM_SEG_HEAD.NUM_CLASSES filled in where they were left open, the cheap part of the
datasets' check, and a sentence about each decision.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from kmax_deeplab.d2.dataset_sources import panoptic_source
from kmax_deeplab.d2.datasets import (
    PanopticMetadata,
    categories_of,
    read_panoptic_json,
    register_from_config,
)
from kmax_deeplab.data.categories import Categories
from kmax_deeplab.data.dataset_check import UNUSABLE, check_places
from kmax_deeplab.data.findings import KINDS, Finding
from kmax_deeplab.data.panoptic_check import Pair, check_content, check_files, pair_files

logger = logging.getLogger(__name__)

GIVEN = "given_categories"
"""Name of the dataset without files that stands for categories from elsewhere."""
DERIVED = 0
"""Value of MODEL.SEM_SEG_HEAD.NUM_CLASSES that stands for "as many as the datasets have"."""
TEST_ENDINGS = ("val", "test")
TRAIN_ENDING = "train"
TOLERATED = frozenset({"unannotated-image", "missing-iscrowd", "stuff-in-pieces"})
"""What training copes with: such images are left out, such segments count as no crowds or as one.
"""
MOST_FILES = 2000
"""Images of a dataset whose files are looked for before a run."""
MOST_NAMED = 10
"""Findings that an error lists."""


def prepare_datasets(cfg: CfgNode, *, train: bool = True) -> list[str]:
    """Registers the datasets of a config, checks what is cheap to check and fills in the config.

    Args:
        cfg: not frozen; DATASETS and MODEL.SEM_SEG_HEAD.NUM_CLASSES may change.
        train: whether DATASETS.TRAIN is needed too; an evaluation needs none of its files.

    Returns:
        A sentence for each decision, to be logged.

    Raises:
        FileNotFoundError: a folder or a JSON is missing.
        ValueError: a dataset is faulty, or datasets, classes and config contradict each other.
    """
    register_from_config(cfg)
    decisions = choose_datasets(cfg)
    names = tuple(dict.fromkeys((*(cfg.DATASETS.TRAIN if train else ()), *cfg.DATASETS.TEST)))
    for name in names:
        decisions += examine(name)
    decisions += derive_num_classes(cfg, names)
    check_num_classes(cfg, names)
    return decisions


def prepare_prediction(cfg: CfgNode, given: Categories | None = None) -> Categories:
    """Finds the classes that a config predicts, without looking for its images.

    Args:
        cfg: not frozen; DATASETS and MODEL.SEM_SEG_HEAD.NUM_CLASSES may change.
        given: the classes, if the config's datasets are not to be asked.

    Raises:
        FileNotFoundError: the JSON that lists the categories is missing.
        ValueError: the datasets list none, or another number than the config.
    """
    if given:
        metadata = PanopticMetadata(name=GIVEN)
        metadata.describe(given)
        MetadataCatalog.pop(GIVEN, None)
        MetadataCatalog[GIVEN] = metadata
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (), (GIVEN,)
    else:
        register_from_config(cfg)
        choose_datasets(cfg)
    names = (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
    found = ((name, categories_of(name)) for name in names)
    name, categories = next((pair for pair in found if pair[1]), (None, None))
    if categories is None:
        raise ValueError(f"none of the datasets {list(names)} of the config lists categories")
    derive_num_classes(cfg, [name])
    check_num_classes(cfg, [name])
    return categories


def choose_datasets(cfg: CfgNode) -> list[str]:
    """Fills in DATASETS.TRAIN and TEST, if both are empty, from the names in DATASETS.PANOPTIC.

    One dataset serves for both; of several, those whose name ends in "train" are for training and
    those that end in "val" or "test" for evaluation.

    Returns:
        A sentence, if anything was filled in, or if a dataset is listed for nothing.

    Raises:
        ValueError: the names do not say which is which.
    """
    names = [entry["name"] for entry in cfg.DATASETS.PANOPTIC]
    if used := {*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST}:
        idle = [name for name in names if name not in used]
        return (
            [f"Neither DATASETS.TRAIN nor DATASETS.TEST uses the datasets {idle}."] if idle else []
        )
    if not names:
        return []
    train = [name for name in names if name.endswith(TRAIN_ENDING)]
    test = [name for name in names if name.endswith(TEST_ENDINGS)]
    warning = ""
    if len(names) == 1:
        train = test = names
        warning = "; its scores are those of images it was trained on"
    elif not train or not test or len(train) + len(test) != len(names):
        raise ValueError(
            f"DATASETS.TRAIN and DATASETS.TEST are empty, and the names {names} in "
            f"DATASETS.PANOPTIC do not say what each is for: end them in {TRAIN_ENDING!r} or one "
            f"of {list(TEST_ENDINGS)}, or set DATASETS.TRAIN \"('…',)\" DATASETS.TEST \"('…',)\""
        )
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = tuple(train), tuple(test)
    return [f"DATASETS.TRAIN becomes {tuple(train)}, DATASETS.TEST {tuple(test)}{warning}."]


def examine(name: str) -> list[str]:
    """Runs the part of a dataset's check that decodes no image; other datasets than ours pass.

    Returns:
        Sentences about what training copes with.

    Raises:
        FileNotFoundError: the JSON is missing.
        ValueError: something is wrong; the message names the first files.
    """
    metadata = MetadataCatalog.get(name)
    if not isinstance(metadata, PanopticMetadata):
        return []
    content = read_panoptic_json(metadata.panoptic_json, name)
    source = panoptic_source(name)
    found = check_places(source) or check_content(content, source.json)
    if not any(finding.kind in UNUSABLE for finding in found):
        pairs = pair_files(content, source.images, source.pngs, source.files)
        found += check_files(spread(pairs, MOST_FILES), source.json)
    fatal = [finding for finding in found if finding.kind not in TOLERATED]
    if fatal:
        raise ValueError(describe_faults(name, fatal))
    metadata.describe(Categories.from_json(content["categories"]))
    examples = {finding.kind: finding.message for finding in reversed(found)}
    counts = Counter(finding.kind for finding in found)
    return [
        f"dataset {name!r}: {count} times, {KINDS[kind]}: {examples[kind]}."
        for kind, count in counts.items()
    ]


def spread(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Picks at most so many pairs, evenly spread."""
    step = max(len(pairs) / most, 1)
    return [pairs[int(index * step)] for index in range(min(len(pairs), most))]


def describe_faults(name: str, found: Sequence[Finding]) -> str:
    """Writes findings as the message of an error."""
    lines = "\n".join(f"  {finding}" for finding in found[:MOST_NAMED])
    more = f"\n  … and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return (
        f"dataset {name!r} has {len(found)} faults (python datasets/check.py shows them all):\n"
        f"{lines}{more}"
    )


def derive_num_classes(cfg: CfgNode, names: Sequence[str]) -> list[str]:
    """Sets MODEL.SEM_SEG_HEAD.NUM_CLASSES, where it is 0, to the datasets' number of categories.

    Returns:
        A sentence, if the number was derived.

    Raises:
        ValueError: no dataset says how many there are.
    """
    if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES != DERIVED:
        return []
    for name in names:
        if categories := categories_of(name):
            cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(categories)
            return [f"MODEL.SEM_SEG_HEAD.NUM_CLASSES becomes {len(categories)}, as in {name!r}."]
    raise ValueError(
        f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {DERIVED}, as many as the datasets have, but none of "
        f"the datasets {list(names)} lists categories: name yours in DATASETS.PANOPTIC or give "
        "the number"
    )


def check_num_classes(cfg: CfgNode, names: Sequence[str]) -> None:
    """Compares MODEL.SEM_SEG_HEAD.NUM_CLASSES with the categories of the datasets in use.

    Args:
        cfg: the config.
        names: registered datasets; those without categories are not looked at.

    Raises:
        ValueError: the numbers differ, or two datasets have different categories.
    """
    found = {name: categories_of(name) for name in names}
    described = {name: categories for name, categories in found.items() if categories}
    configured = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    for name, categories in described.items():
        if len(categories) != configured:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {configured}, but dataset {name!r} has "
                f"{len(categories)} categories: set it to {len(categories)}, or to {DERIVED} for "
                "as many as the datasets have"
            )
    first, *others = described.items() or [(None, None)]
    for other in others:
        compare_categories(*first, *other)


def compare_categories(name: str, categories: Categories, other: str, others: Categories) -> None:
    """Compares ids, names and kinds of two datasets' categories, class by class.

    Raises:
        ValueError: they differ; the message shows the first difference.
    """
    rows = [zip(c.ids, c.names, c.is_thing, strict=True) for c in (categories, others)]
    for index, (mine, theirs) in enumerate(zip(*rows, strict=True)):
        if mine != theirs:
            raise ValueError(
                f"datasets {name!r} and {other!r} list different categories, or in another order: "
                f"class {index} is (id, name, thing) {mine} in the first, {theirs} in the second; "
                "datasets that are used together need the same list of categories in their JSONs"
            )
