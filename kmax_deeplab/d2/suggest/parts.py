"""Which datasets to train and test on: what a newcomer has enters, the keys of DATASETS leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode

from kmax_deeplab.d2.config.files import PLACES, read_config_file
from kmax_deeplab.d2.config.run import load_config, merge_config
from kmax_deeplab.d2.data.catalog import register_from_config
from kmax_deeplab.d2.data.classes import TRAIN_ENDING, choose_datasets
from kmax_deeplab.data.format.fragment import FRAGMENT
from kmax_deeplab.data.format.writer import JSON, PNGS

SPLITS = ("train", "val", "test")
IMAGES = "images"


@dataclass(frozen=True)
class Parts:
    """Datasets of a training.

    Attributes:
        entries: of DATASETS.PANOPTIC; none for built-in datasets.
        train, test: names.
        note: why they are what they are.
    """

    entries: list[dict[str, str]]
    train: tuple[str, ...]
    test: tuple[str, ...]
    note: str


def parts_of_config(config_file: str | Path, words: Sequence[str] = ()) -> Parts:
    """Returns the datasets that a config, or a fragment of one, names.

    Raises:
        FileNotFoundError, ValueError: see `load_config`, or it names none to train on.
    """
    return _parts(load_config(config_file, words), str(config_file))


def parts_of_places(**places: str) -> Parts:
    """Returns a dataset that serves for both.

    Args:
        places: images, json, pngs.
    """
    path = Path(places["json"]).absolute()
    return _from_entries([_entry(f"{path.parent.name}_{path.stem}", **places)], str(path))


def parts_of_names(names: Sequence[str]) -> Parts:
    """Returns registered datasets: those that end in "train" to train on, the others to test.

    Raises:
        ValueError: none ends so.
    """
    train = tuple(name for name in names if name.endswith(TRAIN_ENDING))
    if not train:
        raise ValueError(f"none of {list(names)} ends in {TRAIN_ENDING!r}, and is no folder either")
    test = tuple(name for name in names if name not in train)
    return Parts([], train, test or train, "registered names")


def parts_of_folder(folder: Path, images: Path | None = None) -> Parts:
    """Returns the datasets of a folder that datasets/convert.py wrote.

    Args:
        folder: with dataset.yaml, or parts (train, val, test) of a panoptic.json and a folder
            panoptic each, or one such part.
        images: folder of the images, perhaps with a folder for each part; None: where dataset.yaml
            of the part says, or "images" beside the JSON.

    Raises:
        FileNotFoundError: it does not exist or holds none of these, or images are missing.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder, nor a dataset of that name")
    if (folder / FRAGMENT).is_file():
        return _parts(merge_config(read_config_file(folder / FRAGMENT), FRAGMENT), FRAGMENT)
    found = [folder / split for split in SPLITS if (folder / split / JSON).is_file()]
    if not found and (folder / JSON).is_file():
        found = [folder]
    if not found:
        raise FileNotFoundError(
            f"{folder} holds neither {FRAGMENT} nor {JSON} nor {SPLITS[0]}/{JSON}: give what "
            "datasets/convert.py wrote, or --json --images --pngs"
        )
    name = folder.absolute().name
    entries = [
        _entry(
            name if part == folder else f"{name}_{part.name}",
            images=str(_images(part, images)),
            json=str(part / JSON),
            pngs=str(part / PNGS),
        )
        for part in found
    ]
    return _from_entries(entries, str(folder))


def _images(part: Path, images: Path | None) -> Path:
    """Returns the folder of a part's images.

    Raises:
        FileNotFoundError: nobody says where it is.
    """
    if images is None and (part / FRAGMENT).is_file():
        fragment = merge_config(read_config_file(part / FRAGMENT), FRAGMENT)
        candidates = [Path(entry["images"]) for entry in fragment.DATASETS.PANOPTIC]
    elif images is None:
        candidates = [part / IMAGES, part.parent / IMAGES / part.name, part.parent / IMAGES]
    else:
        candidates = [images / part.name, images]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{candidates[0]}: no such folder; say where --images are")


def _entry(name: str, **places: str) -> dict[str, str]:
    return {"name": name, **{key: str(Path(places[key]).absolute()) for key in PLACES}}


def _from_entries(entries: list[dict[str, str]], origin: str) -> Parts:
    return _parts(merge_config({"DATASETS": {"PANOPTIC": entries}}, origin), origin)


def _parts(cfg: CfgNode, origin: str) -> Parts:
    """Registers the datasets of a config and says which are to be trained and tested on."""
    register_from_config(cfg)
    sentences = choose_datasets(cfg)
    train, test = tuple(cfg.DATASETS.TRAIN), tuple(cfg.DATASETS.TEST)
    if not train:
        raise ValueError(f"{origin} names no dataset to train on: set DATASETS.TRAIN")
    used = {*train, *test}
    entries = [dict(entry) for entry in cfg.DATASETS.PANOPTIC if _name(entry) in used]
    same = not test or test == train
    note = "by their names" if sentences else f"as {origin} says"
    if same:
        note = "the only part: its scores are those of images it was trained on"
    return Parts(entries, train, test or train, note)


def _name(entry: Mapping) -> object:
    return entry["name"]
