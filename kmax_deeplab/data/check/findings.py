"""What can be wrong with a panoptic dataset: kinds of faults and notes, and one finding of them."""

from dataclasses import dataclass

KINDS = {
    "missing-place": "a folder or the JSON does not exist",
    "damaged-zip": "an archive that images or PNGs lie in cannot be read",
    "bad-json": "the JSON lacks a list or a field, or a value is of a wrong type",
    "outside": "a file name is absolute or climbs out of its folder",
    "bad-category": "a category cannot be, or an id or a name occurs twice",
    "unknown-category": "a segment has a category that the JSON does not list",
    "unlisted-image": "an annotation belongs to no listed image",
    "unannotated-image": "a listed image has no annotation",
    "duplicate-image": "two images have one id or one file",
    "duplicate-annotation": "two annotations are of one image or share a PNG",
    "duplicate-segment": "two segments of an image have one id",
    "segment-id": "a segment id is 0, which means unlabelled, or fits into no colour",
    "stuff-in-pieces": "a class of stuff has several segments in an image, as things have",
    "missing-iscrowd": "a segment does not say whether it is a crowd",
    "missing-image": "an image file does not exist",
    "missing-png": "a panoptic PNG does not exist",
    "damaged-image": "an image file cannot be decoded",
    "damaged-png": "a panoptic PNG cannot be decoded or is no RGB image",
    "deep-image": "an image has more than 8 bits a channel, other channels, or several pictures",
    "huge-image": "an image has more pixels than can be handled",
    "exif-rotation": "an image is stored turned or mirrored, with an EXIF tag to undo it",
    "size": "image, PNG and JSON differ in height or width",
    "id-not-in-json": "a PNG has segment ids that the JSON does not list",
    "id-not-in-png": "the JSON lists segment ids that have no pixel in the PNG",
    "wrong-area": "the JSON's area of a segment is not its number of pixels",
    "wrong-bbox": "the JSON's box of a segment is not the one around its pixels",
    "stray-image": "an image lies in the folder, but no JSON lists it",
    "stray-png": "a PNG lies in the folder, but no JSON lists it",
    "leaked-image": "an image is in another dataset of this check too: the same, or nearly",
}
"""Every kind of fault, in the order in which they are reported, with its explanation."""
NOTES = {
    "near-duplicate": "an image occurs twice in a dataset: the same, or nearly",
    "tiny-segment": "a segment has no more than 4 pixels",
    "whole-image": "a thing covers nearly all of its image: is it the background?",
    "specks": "a thing has pieces of no more than 4 pixels apart from it",
    "far-pieces": "pieces of a thing are farther apart than it is large: are they two things?",
    "labelled-twice": "a thing fills the box of another of its class: is it labelled twice?",
}
"""The same of what may be right: notes are looked at, and leave a dataset sound."""
EXPLAINED = KINDS | NOTES
"""All of both."""


@dataclass(frozen=True)
class Finding:
    """A fault, or a note.

    Attributes:
        kind: one of KINDS, or of NOTES.
        file: path of the file to correct, or to look at.
        message: what is wrong, with the ids and values.
        segments: ids of those in the file that show it.
        beside: path of a file to compare it with.
    """

    kind: str
    file: str
    message: str
    segments: tuple[int, ...] = ()
    beside: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EXPLAINED:
            raise ValueError(f"unknown kind of finding {self.kind!r}; known are {list(EXPLAINED)}")

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"
