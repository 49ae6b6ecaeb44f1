"""Checks of one annotated image: an image, its PNG and what the JSON says of them enter, findings
notes, a fingerprint, and the true area and box of every segment leave.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from kmax_deeplab.data.check.findings import Finding
from kmax_deeplab.data.check.fingerprints import Fingerprint, take_fingerprint
from kmax_deeplab.data.check.json_check import Pair
from kmax_deeplab.data.check.label_noise import find_noise
from kmax_deeplab.data.format.images import (
    UPRIGHT,
    HugeImageError,
    UnusableImageError,
    identify,
    read_orientation,
    require_usable,
    upright_size,
)
from kmax_deeplab.data.format.measures import Measure, measure_segments
from kmax_deeplab.data.format.pngs import read_ids
from kmax_deeplab.data.format.zips import is_file, open_file


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What was found about one image; there may be a million of these.

    Attributes:
        findings: its faults.
        notes: on what may be right.
        rows: (S, 6) int32, of each segment of the JSON that has pixels: id, area, box.
        size: (height, width) of the PNG in pixels; (0, 0) if it could not be read.
        fingerprint: of the image; None if it could not be read, or shows nothing.
    """

    findings: Sequence[Finding] = ()
    notes: Sequence[Finding] = ()
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 6), np.int32))
    size: tuple[int, int] = (0, 0)
    fingerprint: Fingerprint | None = None

    @property
    def pixels(self) -> int:
        """Of the PNG."""
        return self.size[0] * self.size[1]

    @property
    def measures(self) -> dict[int, Measure]:
        """Of each segment of the JSON that has pixels, by id."""
        return {i: Measure(area, tuple(box)) for i, area, *box in self.rows.tolist()}


@dataclass(frozen=True)
class _Header:
    """What is known of a decoded image.

    (height, width) as stored and upright, in pixels, its EXIF orientation, its fingerprint.
    """

    stored: tuple[int, int]
    upright: tuple[int, int]
    orientation: int
    fingerprint: Fingerprint | None


def check_image(pair: Pair, things: Collection = ()) -> ImageReport:
    """Decodes an image and its PNG and compares both with the JSON; missing files are no findings.

    `check_files` finds those, for all images at once.

    Args:
        pair: the image and its labels.
        things: ids of the categories that are things.
    """
    findings = []
    header = ids = None
    if is_file(pair.image_file):
        try:
            header = _decode(pair.image_file)
        except UnusableImageError as error:
            kind = "huge-image" if isinstance(error, HugeImageError) else "deep-image"
            findings.append(Finding(kind, pair.image_file, str(error)))
        except Exception as error:  # a damaged file can raise anything
            findings.append(Finding("damaged-image", pair.image_file, _reason(error)))
    if is_file(pair.png_file):
        try:
            ids = read_ids(pair.png_file)
        except Exception as error:
            findings.append(Finding("damaged-png", pair.png_file, _reason(error)))
    if header:
        findings += _check_header(header, pair)
        findings += _check_sizes(header, None if ids is None else ids.shape, pair)
    fingerprint = header.fingerprint if header else None
    if ids is None:
        return ImageReport(findings, fingerprint=fingerprint)
    measures = measure_segments(ids)
    segments = pair.annotation["segments_info"]
    findings += check_segments(measures, segments, pair.png_file)
    notes = find_noise(ids, measures, segments, things, pair.png_file)
    rows = [
        (s["id"], (m := measures[s["id"]]).area, *m.bbox) for s in segments if s["id"] in measures
    ]
    rows = np.array(rows, np.int32).reshape(-1, 6)
    return ImageReport(findings, notes, rows, ids.shape, fingerprint)


def check_segments(
    measures: Mapping[int, Measure], segments: Sequence[Mapping], png_file: str
) -> list[Finding]:
    """Compares the segments of a PNG with those that the JSON lists for it.

    Args:
        measures: of the PNG, by id.
        segments: "segments_info" of the JSON; "area" and "bbox" are compared where they are.
        png_file: path of the PNG, for the findings.
    """
    listed = {segment["id"]: segment for segment in segments}
    found = []
    if stray := sorted(measures.keys() - listed.keys()):
        message = f"ids {stray[:10]} are in the PNG, not in the JSON"
        found.append(Finding("id-not-in-json", png_file, message))
    if missing := [i for i in listed if i not in measures]:
        message = f"ids {missing[:10]} are in the JSON, not in the PNG"
        found.append(Finding("id-not-in-png", png_file, message))
    for segment_id in listed.keys() & measures.keys():
        segment, measure = listed[segment_id], measures[segment_id]
        for key, kind in (("area", "wrong-area"), ("bbox", "wrong-bbox")):
            said, true = segment.get(key), getattr(measure, key)
            if said is not None and not np.array_equal(said, true):
                message = f"segment {segment_id} has the {key} {true}, the JSON says {said}"
                found.append(Finding(kind, png_file, message))
    return found


def fixed_content(
    content: Mapping, reports: Mapping[Hashable, ImageReport], things: Sequence[str] = ()
) -> dict:
    """Returns a copy of a JSON with what can be mended.

    Areas and boxes are the true ones, iscrowd is 0 where it was missing, and segments without a
    pixel are gone.

    Args:
        content: of the JSON.
        reports: by image id; segments of other images keep what is said of them.
        things: names of the classes that become things.

    Raises:
        ValueError: a name in `things` is no class.
    """
    names = [category["name"] for category in content["categories"]]
    if strange := [name for name in things if name not in names]:
        raise ValueError(f"there are no classes {strange}; there are {names}")
    categories = [
        {**category, "isthing": 1} if category["name"] in things else category
        for category in content["categories"]
    ]
    annotations = [
        {**annotation, "segments_info": _fixed(annotation, reports.get(annotation["image_id"]))}
        for annotation in content["annotations"]
    ]
    return {**content, "annotations": annotations, "categories": categories}


def _fixed(annotation: Mapping, report: ImageReport | None) -> list[dict]:
    segments = [{**s, "iscrowd": s.get("iscrowd", 0)} for s in annotation["segments_info"]]
    if report is None or not report.pixels:
        return segments
    return [
        {**segment, "area": measure.area, "bbox": list(measure.bbox)}
        for segment in segments
        if (measure := report.measures.get(segment["id"]))
    ]


def _decode(path: str) -> _Header:
    with open_file(path) as file:
        try:
            image = identify(file)
        except Image.DecompressionBombError as error:
            raise HugeImageError(str(error)) from error
        require_usable(image)
        image.load()  # all of it: a truncated file opens like a whole one
        sizes = image.size[::-1], upright_size(image)
        return _Header(*sizes, read_orientation(image), take_fingerprint(image))


def _check_header(header: _Header, pair: Pair) -> list[Finding]:
    if header.orientation == UPRIGHT:
        return []
    message = (
        f"has the EXIF orientation {header.orientation}: it is turned upright when it is read, "
        "other tools may not do so; store it upright"
    )
    return [Finding("exif-rotation", pair.image_file, message)]


def _check_sizes(header: _Header, png: tuple[int, int] | None, pair: Pair) -> list[Finding]:
    """Compares (height, width) of the upright image with those of the PNG and of the JSON."""
    found = []
    if png is not None and png != header.upright:
        turned = ", as the image is before its EXIF rotation" if png == header.stored else ""
        message = (
            f"is {_pixels(png)} pixels{turned}; {pair.image_file} is {_pixels(header.upright)}"
        )
        found.append(Finding("size", pair.png_file, message))
    said = tuple(pair.image.get(key) for key in ("height", "width"))
    if None not in said and said != header.upright:
        message = f"is {_pixels(header.upright)} pixels, the JSON says {_pixels(said)}"
        found.append(Finding("size", pair.image_file, message))
    return found


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[1]} × {size[0]}"


def _reason(error: Exception) -> str:
    return f"cannot be read ({error or type(error).__name__}): restore it"
