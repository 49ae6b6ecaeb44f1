"""The panoptic JSONs of a run: paths enter, contents leave, each parsed once whoever asks.

Several processes share what the main one has parsed; COCO's training JSON takes half a minute.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from detectron2.utils import comm

from kmax_deeplab.d2.ranks.group import from_main
from kmax_deeplab.data.format.contents import read_panoptic

logger = logging.getLogger(__name__)

Version = tuple[int, int]
"""Time and size of a file."""
_PARSED: dict[Path, tuple[Version, dict]] = {}


def read_shared(path: str | Path) -> dict:
    """Returns the content of a panoptic JSON, which nobody may change; parses it if it is new.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be relied on (see `contents.read_panoptic`).
    """
    path = Path(path).absolute()
    status = path.stat()
    version = (status.st_mtime_ns, status.st_size)
    if path not in _PARSED or _PARSED[path][0] != version:
        content = read_panoptic(path)
        logger.info("Parsed %s: %d images", path, len(content["images"]))
        _PARSED[path] = version, content
    return _PARSED[path][1]


def share(paths: Iterable[str | Path]) -> None:
    """Has the main process parse JSONs and hands them to all others; every process has to call it.

    A file that cannot be read is left to whoever asks for it.
    """
    if comm.get_world_size() == 1:
        return
    for path in sorted({Path(path).absolute() for path in paths}):
        if (parsed := from_main(_parse, path)) is not None:
            _PARSED[path] = parsed


def forget(paths: Iterable[str | Path]) -> None:
    """Frees the contents of JSONs that are not needed again."""
    for path in paths:
        _PARSED.pop(Path(path).absolute(), None)


def _parse(path: Path) -> tuple[Version, dict] | None:
    try:
        read_shared(path)
    except (OSError, ValueError):
        return None
    return _PARSED[path]
