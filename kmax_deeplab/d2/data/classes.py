"""From the datasets that a config names to a config that fits them, before anything is built.

What enters: a config that is not frozen yet. What leaves: registered datasets, DATASETS.TRAIN and
TEST and MODEL.SEM_SEG_HEAD.NUM_CLASSES filled in where they were left open, the cheap part of the
datasets' check, and a sentence about each decision.
"""

from collections.abc import Sequence

from detectron2.config import CfgNode

from kmax_deeplab.d2.data.catalog import (
    align_dataset,
    categories_of,
    panoptic_jsons,
    register_from_config,
)
from kmax_deeplab.d2.data.examine import examine
from kmax_deeplab.d2.data.shared import share
from kmax_deeplab.data.format.categories import NOT_LISTED, Categories, align

DERIVED = 0
"""Value of MODEL.SEM_SEG_HEAD.NUM_CLASSES that stands for "as many as the datasets have"."""
GIVE_CLASSES = (
    "The weights do not name the model's classes either: take them from any JSON that lists them, "
    "with --categories"
)
TEST_ENDINGS = ("val", "test")
TRAIN_ENDING = "train"
OTHER_CLASSES = (
    "The weights name the classes that they were trained for. To train them for others, begin the "
    "parts that name classes anew: MODEL.KMAX_DEEPLAB.REINITIALIZE \"['classes']\"; a run to "
    "resume keeps its classes."
)


def prepare_datasets(
    cfg: CfgNode, *, train: bool = True, classes: Categories | None = None
) -> list[str]:
    """Registers the datasets of a config, checks what is cheap to check and fills in the config.

    Args:
        cfg: not frozen; DATASETS and MODEL.SEM_SEG_HEAD.NUM_CLASSES may change.
        train: whether DATASETS.TRAIN is needed too; an evaluation needs none of its files.
        classes: of the weights in use, if they say so; otherwise the first dataset's.

    Returns:
        A sentence for each decision, to be logged.

    Raises:
        FileNotFoundError: a folder or a JSON is missing.
        ValueError: a dataset is faulty, or datasets, classes and config contradict each other.
    """
    register_from_config(cfg)
    decisions = choose_datasets(cfg)
    training = cfg.DATASETS.TRAIN if train else ()
    names = tuple(dict.fromkeys((*training, *cfg.DATASETS.TEST)))
    share(panoptic_jsons(names))
    for name in names:
        decisions += examine(name, tested=name in cfg.DATASETS.TEST)
    decisions += derive_num_classes(cfg, names, classes)
    decisions += agree_on_classes(cfg, names, classes, training)
    return decisions


def prepare_prediction(
    cfg: CfgNode, given: Categories | None = None, classes: Categories | None = None
) -> Categories:
    """Finds the classes that a config predicts, without looking for its images.

    Args:
        cfg: not frozen; DATASETS and MODEL.SEM_SEG_HEAD.NUM_CLASSES may change.
        given: the classes, if the config's datasets are not to be asked.
        classes: of the weights in use, if they say so; `given` may then give other ids.

    Raises:
        FileNotFoundError: the JSON that lists the categories is missing.
        ValueError: the datasets list none, or another number than the config, or others are given
            than those of the weights.
    """
    if given and classes:
        given = align(given, classes, whole=True)
    categories = given or classes or _classes_of_datasets(cfg)
    derive_num_classes(cfg, (), categories)
    _require_count(cfg, "the model", categories)
    return categories


def _classes_of_datasets(cfg: CfgNode) -> Categories:
    register_from_config(cfg)
    choose_datasets(cfg)
    names = (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
    try:
        _, categories = first_classes(names, None)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{error}\n{GIVE_CLASSES}") from error
    if categories is None:
        raise ValueError(
            f"none of the datasets {list(names)} of the config lists categories. {GIVE_CLASSES}"
        )
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


def derive_num_classes(
    cfg: CfgNode, names: Sequence[str], classes: Categories | None = None
) -> list[str]:
    """Sets MODEL.SEM_SEG_HEAD.NUM_CLASSES, where it is 0, to the number of classes.

    Args:
        cfg: not frozen.
        names: registered datasets.
        classes: of the weights in use; None: those of the first dataset that lists some.

    Returns:
        A sentence, if the number was derived.

    Raises:
        ValueError: nobody says how many there are.
    """
    if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES != DERIVED:
        return []
    origin, found = first_classes(names, classes)
    if found is None:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {DERIVED}, as many as the datasets have, but none "
            f"of the datasets {list(names)} lists categories: name yours in DATASETS.PANOPTIC or "
            "give the number"
        )
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(found)
    return [f"MODEL.SEM_SEG_HEAD.NUM_CLASSES becomes {len(found)}, as in {origin}."]


def first_classes(
    names: Sequence[str], classes: Categories | None
) -> tuple[str, Categories | None]:
    """Returns whose classes a model has, and which: the weights', or the first dataset's."""
    if classes:
        return "the weights", classes
    found = ((f"dataset {name!r}", categories_of(name)) for name in names)
    return next((pair for pair in found if pair[1]), ("", None))


def agree_on_classes(
    cfg: CfgNode,
    names: Sequence[str],
    classes: Categories | None = None,
    training: Sequence[str] = (),
) -> list[str]:
    """Makes all datasets in use number their categories as the model numbers its classes.

    Args:
        cfg: the config.
        names: registered datasets; those without categories are not looked at.
        classes: of the weights in use; None: the first dataset that lists categories decides.
        training: those that must list all classes of the weights.

    Returns:
        A sentence for each dataset that had another order or lacks classes.

    Raises:
        ValueError: a dataset has other categories, or the number of classes is another one.
    """
    origin, reference = first_classes(names, classes)
    if reference is None:
        return []
    _require_count(cfg, origin, reference)
    return [
        sentence
        for name in names
        for sentence in _align(name, reference, whole=bool(classes) and name in training)
    ]


def _require_count(cfg: CfgNode, origin: str, categories: Categories) -> None:
    if len(categories) != (configured := cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {configured}, but {origin} has {len(categories)} "
            f"categories: set it to {len(categories)}, or to {DERIVED} for as many as there are"
        )


def _align(name: str, reference: Categories, *, whole: bool) -> list[str]:
    before = categories_of(name)
    if before is None:
        return []
    try:
        align_dataset(name, reference, whole=whole)
    except ValueError as error:
        if not whole:
            raise
        raise ValueError(f"{error}\n{OTHER_CLASSES}") from error
    lacking = [n for i, n, _ in categories_of(name).rows() if i <= NOT_LISTED]
    if lacking:
        return [f"dataset {name!r} lacks the classes {lacking}: they are left out there."]
    if before.names != reference.names:
        return [f"dataset {name!r} lists its categories in another order: mapped by name."]
    return []
