"""Folders of images and of their label images: folders enter, files of one name leave together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kmax_deeplab.data.convert.label_values import match_by_name
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES

LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff"})


@dataclass(frozen=True)
class LabelFolders:
    """Folders with files of one name for each image.

    Attributes:
        images: folder of the images.
        semantic: folder of the PNGs with class values.
        instances: folder of the PNGs with instance ids; None if all classes are stuff.
        semantic_ending: what names of semantic PNGs have after the image's name.
        instance_ending: the same of instance PNGs.
    """

    images: Path
    semantic: Path
    instances: Path | None = None
    semantic_ending: str = ""
    instance_ending: str = ""


@dataclass(frozen=True)
class LabelledFile:
    """An image and its label images; `name` is the image's path below its folder, no suffix."""

    name: str
    image: Path
    semantic: Path
    instances: Path | None


def match_folders(
    folders: LabelFolders, categories: Categories, components: Sequence[int] = ()
) -> list[LabelledFile]:
    """Matches images with their label images by name, in order.

    Args:
        folders: where they lie.
        categories: of the semantic PNGs.
        components: ids of the classes that need no instances, see `find_label_pngs`.

    Raises:
        ValueError: things need instances, or a file has no partner; the message names it.
    """
    things = [name for i, name, is_thing in categories.rows() if is_thing and i not in components]
    if folders.instances is None and things:
        raise ValueError(
            f"the classes {things[:5]} are things: give the folder of --instances, or, if no two "
            "of their objects touch, name them with --components"
        )
    images = match_by_name(folders.images, IMAGE_SUFFIXES)
    semantic = match_by_name(folders.semantic, LABEL_SUFFIXES, folders.semantic_ending)
    instances = {}
    if folders.instances is not None:
        instances = match_by_name(folders.instances, LABEL_SUFFIXES, folders.instance_ending)
        _require_partners(images, instances, folders.instances)
    _require_partners(images, semantic, folders.semantic)
    return [
        LabelledFile(name, path, semantic[name], instances.get(name))
        for name, path in images.items()
    ]


def _require_partners(images: dict[str, Path], labels: dict[str, Path], folder: Path) -> None:
    for name, path in images.items():
        if name not in labels:
            raise ValueError(f"{path} has no label image {name}* in {folder}")
    for name, path in labels.items():
        if name not in images:
            raise ValueError(f"{path} belongs to no image: there is no image {name}.*")
