"""Checks of a COCO-panoptic JSON that need no image: fields, ids, categories, and files that exist.

What enters: the content of a JSON and where its images and PNGs lie. What leaves: findings. What is
in the images themselves is checked in `image_check`.
"""

import os
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kmax_deeplab.data.check.findings import Finding
from kmax_deeplab.data.convert.from_masks import IMAGES, MASKS
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import (
    find_climbing_names,
    find_repeated,
    find_wrong_types,
)
from kmax_deeplab.data.format.images import find_files
from kmax_deeplab.data.format.pngs import MAX_ID
from kmax_deeplab.data.format.zips import is_file


@dataclass(frozen=True)
class Pair:
    """An annotated image and its files.

    Attributes:
        image: entry of "images".
        annotation: its entry of "annotations".
        image_file: path of the image.
        png_file: path of the panoptic PNG.
    """

    image: Mapping
    annotation: Mapping
    image_file: str
    png_file: str


def check_content(content: Mapping, json_file: str) -> list[Finding]:
    """Checks what a JSON says by itself.

    Args:
        content: of the JSON.
        json_file: its path, for the findings.
    """
    found = [Finding("bad-json", json_file, message) for message in find_wrong_types(content)]
    if found:
        return found  # everything below relies on these fields
    checks = {
        "outside": find_climbing_names(content),
        "bad-category": _bad_categories(content["categories"]),
        "unlisted-image": _unlisted_images(content),
        "unannotated-image": _unannotated_images(content),
        "stuff-in-pieces": _stuff_in_pieces(content),
    }
    found = [
        Finding(kind, json_file, message) for kind, all_of in checks.items() for message in all_of
    ]
    found += [Finding(kind, json_file, message) for kind, message in find_repeated(content)]
    known = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        for kind, message in _segment_faults(annotation["segments_info"], known):
            where = f"image {annotation['image_id']!r} ({annotation['file_name']}): "
            found.append(Finding(kind, json_file, where + message))
    return found


def check_files(pairs: Iterable[Pair], json_file: str) -> list[Finding]:
    """Finds files that the JSON lists and that do not exist."""
    found = []
    for pair in pairs:
        for kind, path in (("missing-image", pair.image_file), ("missing-png", pair.png_file)):
            if not is_file(path):
                message = f"does not exist, but {json_file} lists it (image {pair.image['id']!r})"
                found.append(Finding(kind, path, message))
    return found


def pair_files(
    content: Mapping,
    images: str,
    pngs: str,
    files: Mapping[Hashable, tuple[str, str]] | None = None,
) -> list[Pair]:
    """Pairs every annotated image with its annotation and its files, in the order of "images".

    Args:
        content: of a JSON without findings of the kind "bad-json".
        images: folder of the images.
        pngs: folder of the panoptic PNGs.
        files: image file and PNG by image id, where the JSON's names do not lead to them.
    """
    annotations = {annotation["image_id"]: annotation for annotation in content["annotations"]}
    pairs = []
    for image in content["images"]:
        if (annotation := annotations.get(image["id"])) is None:
            continue
        named = (str(Path(images, image["file_name"])), str(Path(pngs, annotation["file_name"])))
        pairs.append(Pair(image, annotation, *(files or {}).get(image["id"], named)))
    return pairs


def find_strays(kind: str, folder: str, suffixes: Iterable[str], listed: set[str]) -> list[Finding]:
    """Finds files below a folder that no JSON lists.

    Args:
        kind: "stray-image" or "stray-png".
        folder: searched with its subfolders.
        suffixes: of the files to look at, in lower case.
        listed: paths that belong there.
    """
    resolved = set(map(os.path.realpath, listed))
    folders = {os.path.dirname(path) for path in resolved}
    return [
        Finding(kind, str(path), f"lies in {folder}, but the JSON does not list it")
        for path in find_files([folder], suffixes)
        if (real := os.path.realpath(path)) not in resolved and not _is_mask(Path(real), folders)
    ]


def _is_mask(path: Path, folders: Container[str]) -> bool:
    """Says whether a file lies in masks/ beside images/, a folder of listed files.

    So does the 2018 Data Science Bowl, whose images and labels share a folder.
    """
    places = (place for place in path.parents if place.name == MASKS)
    return any(str(place.with_name(IMAGES)) in folders for place in places)


def _bad_categories(categories: Sequence[Mapping]) -> Iterator[str]:
    try:
        Categories.from_json(categories)
    except (ValueError, TypeError) as error:
        yield str(error)


def _unlisted_images(content: Mapping) -> Iterator[str]:
    listed = {image["id"] for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] not in listed:
            yield (
                f"annotation {annotation['file_name']} is of image {annotation['image_id']!r}, "
                "which is not among the images (text and number are different ids)"
            )


def _unannotated_images(content: Mapping) -> Iterator[str]:
    annotated = {annotation["image_id"] for annotation in content["annotations"]}
    for image in content["images"]:
        if image["id"] not in annotated:
            yield f"image {image['id']!r} ({image['file_name']}) has no annotation: it is left out"


def _stuff_in_pieces(content: Mapping) -> Iterator[str]:
    pieces = {c["id"]: Counter() for c in content["categories"] if not c["isthing"]}
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            if segment["category_id"] in pieces and not segment.get("iscrowd", 0):
                pieces[segment["category_id"]][annotation["image_id"]] += 1
    for category in content["categories"]:
        counts = pieces.get(category["id"], {}).values()
        if several := [count for count in counts if count > 1]:
            yield (
                f"class {category['name']!r} is stuff, but {len(several)} of {len(counts)} images "
                f"have several segments of it, up to {max(several)}, which count as one: if they "
                f"are objects, make it a thing (--fix OUT.json --things {category['name']!r})"
            )


def _segment_faults(segments: Sequence[Mapping], known: set) -> Iterator[tuple[str, str]]:
    for segment in segments:
        segment_id = segment["id"]
        if not 0 < segment_id <= MAX_ID:
            yield "segment-id", f"a segment has the id {segment_id!r}: use 1 to {MAX_ID}"
        if segment["category_id"] not in known:
            yield (
                "unknown-category",
                f"segment {segment_id} has the category {segment['category_id']!r}; listed are "
                f"{sorted(known, key=str)[:20]}",
            )
        if "iscrowd" not in segment:
            yield "missing-iscrowd", f"segment {segment_id} lacks 'iscrowd'; --fix adds 0"
