"""What a prediction comes from: a model and an image file enter, a note beside the result leaves.

Predictions of equal origin are equal, but for the rounding of different machines.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.zips import stored_in
from kmax_deeplab.model.kmax import KMaXDeepLab

Origin = dict[str, str]
"""Digest of each thing that decides what is predicted."""
LENGTH = 16
"""Hexadecimal digits of a digest."""
BLOCK = 2**20
"""Bytes of a file that are read at once."""


@dataclass(frozen=True)
class Note:
    """What a PNG of segments says besides their ids.

    Attributes:
        origin: digests of what made it.
        image: see `image_of`.
        segments: entries of "segments_info", with the dataset's category ids.
        size: [height, width] in pixels; empty where it is not known.
        is_crowded: whether there may be more segments than were found.
    """

    origin: Origin
    image: list[int]
    segments: list[dict]
    size: list[int] = field(default_factory=list)
    is_crowded: bool = False

    def to_text(self) -> str:
        """Returns it as `from_text` takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Note":
        """Reads a note."""
        return cls(**json.loads(text))

    def others(self, origin: Origin) -> list[str]:
        """Returns what was not as in an origin, in words."""
        return [what for what in origin if self.origin.get(what) != origin[what]]


def origin_of(model: KMaXDeepLab, weights: str | Path, categories: Categories) -> Origin:
    """Returns what decides the predictions of a model.

    Args:
        model: that predicts.
        weights: the file it was filled from, or the address of one.
        categories: that are written.
    """
    described = model.description and model.description.to_json()
    settings = [described, asdict(model.inputs), asdict(model.merge), str(model.precision)]
    return {
        "weights": _digest_file(weights),
        "classes": _digest(categories.to_json()),
        "settings": _digest(settings),
    }


def image_of(path: Path) -> list[int]:
    """Returns what tells an image file from a newer one: its bytes, and its age in nanoseconds.

    Of an image in a zip they are the zip's.

    Raises:
        FileNotFoundError: there is no such file.
    """
    status = stored_in(path).stat()
    return [status.st_size, status.st_mtime_ns]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:LENGTH]


def _digest_file(path: str | Path) -> str:
    if not Path(path).is_file():
        return _digest(str(path))
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()[:LENGTH]
