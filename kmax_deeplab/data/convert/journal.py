"""What a conversion has done so far: a line for each finished image, in a file that only grows.

A run that was killed leaves whole lines and perhaps the start of one, which is not counted. Lines
stay on disk; in memory is where each one begins.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from kmax_deeplab.file_lock import take


class Journal:
    """Finished images by name.

    Args:
        path: of the file; its folder is made.

    Raises:
        ValueError: another process has it open.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        if not take(self._file):
            self._file.close()
            raise ValueError(f"another conversion writes to {path.parent}: wait for its end")
        self._starts: dict[str, int] = {}
        self._read()

    def _read(self) -> None:
        """Finds the lines that an earlier run left, and cuts off an unfinished one."""
        self._file.seek(0)
        start = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._starts[json.loads(line)["name"]] = start
            start += len(line)
        self._file.truncate(start)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[str]:
        """Yields the names of the finished images."""
        return iter(self._starts)

    def __contains__(self, name: str) -> bool:
        return name in self._starts

    def add(self, record: dict) -> None:
        """Notes a finished image, under its "name"."""
        self._file.seek(0, 2)
        self._starts[record["name"]] = self._file.tell()
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def __getitem__(self, name: str) -> dict:
        self._file.seek(self._starts[name])
        return json.loads(self._file.readline())
