"""The full check of panoptic datasets: places enter; findings and class statistics leave."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from kmax_deeplab.data.check.findings import Finding
from kmax_deeplab.data.check.image_check import ImageReport, check_image
from kmax_deeplab.data.check.json_check import (
    Pair,
    check_content,
    check_files,
    find_strays,
    pair_files,
)
from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES
from kmax_deeplab.data.format.measures import count_queries
from kmax_deeplab.data.format.zip_members import ZipError
from kmax_deeplab.data.format.zips import is_folder
from kmax_deeplab.data.processes import map_processes

REMEDY = "create it or correct the dataset's paths"
UNUSABLE = ("missing-place", "damaged-zip", "bad-json", "outside")
"""Faults of a JSON or its places after which its files are not looked at."""
CHUNK = 8
"""Images handed to a process at a time."""


@dataclass(frozen=True)
class Source:
    """Where a dataset lies.

    Attributes:
        name: for messages.
        images: folder of the images, perhaps in a zip.
        json: COCO-panoptic JSON.
        pngs: folder of the panoptic PNGs, perhaps in a zip.
        files: image file and PNG by image id, where the JSON's names do not lead to them.
    """

    name: str
    images: str
    json: str
    pngs: str
    files: Mapping[Hashable, tuple[str, str]] | None = None


@dataclass
class DatasetReport:
    """What was found about a dataset.

    Attributes:
        source: the dataset.
        content: of its JSON; empty if that cannot be used.
        findings: all faults.
        notes: on what may be right.
        pairs: annotated images.
        reports: of each image that was looked at, by image id.
    """

    source: Source
    content: Mapping = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    reports: dict[Hashable, ImageReport] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassCount:
    """How often a class occurs: segments (crowds among them), images with it, and pixels."""

    name: str
    is_thing: bool
    segments: int
    crowds: int
    images: int
    pixels: int


def check_dataset(source: Source, workers: int = 1) -> DatasetReport:
    """Checks all of a dataset but what takes others to see, showing a progress bar.

    Stray files and images that occur twice are found by `check_strays` and `check_duplicates`.

    Args:
        source: the dataset.
        workers: processes that decode images; 1 decodes in this one.
    """
    report = DatasetReport(source)
    report.findings += check_places(source)
    damaged = any(finding.kind == "damaged-zip" for finding in report.findings)
    if damaged or not Path(source.json).is_file():
        return report
    try:
        content = read_json(source.json)
    except ValueError as error:
        report.findings.append(Finding("bad-json", source.json, str(error)))
        return report
    found = check_content(content, source.json)
    report.findings += found
    if any(finding.kind in UNUSABLE for finding in found):
        return report
    report.content = content
    report.pairs = pair_files(content, source.images, source.pngs, source.files)
    report.findings += check_files(report.pairs, source.json)
    for pair, image in zip(report.pairs, _check_images(report, workers), strict=True):
        report.reports[pair.image["id"]] = image
        report.findings += image.findings
        report.notes += image.notes
    return report


def check_places(source: Source) -> list[Finding]:
    """Finds folders, zips and JSONs that do not exist or cannot be read."""
    found = []
    for what, folder in {"images": source.images, "panoptic PNGs": source.pngs}.items():
        try:
            if not is_folder(folder):
                message = f"the folder of the {what} does not exist; {REMEDY}"
                found.append(Finding("missing-place", folder, message))
        except ZipError as error:
            found.append(Finding("damaged-zip", folder, str(error)))
    if not Path(source.json).is_file():
        found.append(Finding("missing-place", source.json, f"the JSON does not exist; {REMEDY}"))
    return found


def check_strays(reports: Sequence[DatasetReport]) -> list[Finding]:
    """Finds files in the folders of datasets whose JSON can be used that no dataset lists."""
    reports = [report for report in reports if report.content]
    found = []
    for kind, folder_of, suffixes in (
        ("stray-image", "images", IMAGE_SUFFIXES),
        ("stray-png", "pngs", {".png"}),
    ):
        listed = {file for report in reports for file in _listed(report)}
        for folder in dict.fromkeys(getattr(report.source, folder_of) for report in reports):
            if is_folder(folder):
                found += find_strays(kind, folder, suffixes, listed)
    return found


def count_classes(report: DatasetReport) -> list[ClassCount]:
    """Counts segments, images and pixels of every category, in the order of the JSON."""
    segments, crowds, images, pixels = Counter(), Counter(), Counter(), Counter()
    for pair in report.pairs:
        measures = report.reports[pair.image["id"]].measures
        infos = pair.annotation["segments_info"]
        images.update({segment["category_id"] for segment in infos})
        for segment in infos:
            category = segment["category_id"]
            segments[category] += 1
            crowds[category] += bool(segment.get("iscrowd", 0))
            if segment["id"] in measures:
                pixels[category] += measures[segment["id"]].area
    return [
        ClassCount(
            str(category["name"]),
            bool(category["isthing"]),
            *(counter[category["id"]] for counter in (segments, crowds, images, pixels)),
        )
        for category in report.content.get("categories", ())
    ]


def count_needed_queries(report: DatasetReport) -> list[int]:
    """Counts the queries that each image needs: one for every thing and every class of stuff."""
    things = {c["id"]: c["isthing"] for c in report.content.get("categories", ())}
    return [
        count_queries({**s, "isthing": things.get(s["category_id"], 0)} for s in segments)
        for segments in (pair.annotation["segments_info"] for pair in report.pairs)
    ]


def _check_images(report: DatasetReport, workers: int) -> list[ImageReport]:
    things = frozenset(c["id"] for c in report.content["categories"] if c["isthing"])
    check = partial(check_image, things=things)
    progress = {"total": len(report.pairs), "desc": report.source.name, "unit": "image"}
    return list(tqdm(map_processes(check, report.pairs, workers, CHUNK), **progress))


def _listed(report: DatasetReport) -> list[str]:
    """Returns all paths that a dataset names, of images without annotation too."""
    unannotated = [
        str(Path(report.source.images, image["file_name"]))
        for image in report.content.get("images", ())
    ]
    return [*unannotated, *(file for p in report.pairs for file in (p.image_file, p.png_file))]
