"""Videos: a file or a camera enters, RGB frames leave; RGB frames enter, a whole file leaves.

OpenCV reads and writes them. What is written has no sound, and one rate throughout.
"""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kmax_deeplab.whole_files import whole_file

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm")
"""By which a video file is told from a folder."""
FALLBACK_RATE = 25.0
"""Frames a second of a video or camera that does not say it."""
MISSING = 0.02
"""Share of the announced frames that may lack: some formats only estimate their number."""


@dataclass(frozen=True)
class Video:
    """An opened video or camera.

    Attributes:
        name: for messages.
        capture: OpenCV's.
        fps: frames a second.
        count: frames that it announces; None: a camera, or it does not say.
        is_live: whether it goes on until it is ended.
    """

    name: str
    capture: cv2.VideoCapture
    fps: float
    count: int | None
    is_live: bool = False

    def frames(self) -> Iterator[np.ndarray]:
        """Yields (H, W, 3) uint8 RGB, upright, all of one size.

        Raises:
            ValueError: it holds no frame, ends before its end, or changes its size.
        """
        size, seen = None, 0
        while (frame := self._next()) is not None:
            size = size or frame.shape
            if frame.shape != size:
                raise ValueError(
                    f"frame {seen + 1} of {self.name} is {frame.shape[1]} × {frame.shape[0]} "
                    f"pixels, those before {size[1]} × {size[0]}: cut it there"
                )
            seen += 1
            yield frame
        if not seen:
            raise ValueError(f"{self.name} holds no frame that can be read: is it damaged?")
        if self.count and seen < self.count - max(1, MISSING * self.count):
            raise ValueError(
                f"{self.name} ends after {seen} of {self.count} frames: it is damaged or cut off"
            )

    def _next(self) -> np.ndarray | None:
        is_there, frame = self.capture.read()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if is_there else None


@contextmanager
def open_video(path: str | Path) -> Iterator[Video]:
    """Opens a video file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video, or damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"video {path} does not exist")
    with _open(str(path), f"{path} cannot be read: it is damaged, or no video") as capture:
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        count = int(count) if math.isfinite(count) and count > 0 else None
        yield Video(str(path), capture, _rate(capture), count)


@contextmanager
def open_camera(number: int) -> Iterator[Video]:
    """Opens a camera, by its number from 0.

    Raises:
        ValueError: there is no such camera.
    """
    with _open(number, f"camera {number} cannot be opened: --webcam takes 0, 1, …") as capture:
        yield Video(f"camera {number}", capture, _rate(capture), None, is_live=True)


@contextmanager
def _open(source: str | int, complaint: str) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            raise ValueError(complaint)
        yield capture
    finally:
        capture.release()


def _rate(capture: cv2.VideoCapture) -> float:
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if math.isfinite(rate) and 0 < rate < 1000 else FALLBACK_RATE


def choose_output(output: Path, source: Path | str) -> Path:
    """Returns where a painted video goes: `output` if that is a video file, else into that folder.

    Raises:
        ValueError: that is the video itself.
    """
    is_file = output.suffix.lower() in SUFFIXES and not output.is_dir()
    path = output if is_file else output / f"{Path(source).stem}.mp4"
    if path.resolve() == Path(source).resolve():
        raise ValueError(f"{path} is the video that is read: choose another --output")
    return path


def write_video(
    path: Path, frames: Iterable[np.ndarray], fps: float, codec: str = "mp4v"
) -> Iterator[int]:
    """Writes a video that appears when its last frame is written.

    Args:
        path: of the file, whose suffix chooses the container.
        frames: (H, W, 3) uint8 RGB, all of one size. Codecs take even sizes: of odd ones the last
            row or column is repeated.
        fps: frames a second.
        codec: four letters: "mp4v" is in every OpenCV; "avc1", "XVID" (.avi) or "VP80" (.webm) are
            in some.

    Yields:
        The number of frames so far.

    Raises:
        ValueError: the codec is not there, or the disk is full.
    """
    if len(codec) != 4 or not codec.isascii():
        raise ValueError(f"--codec {codec}: it is named by four letters, such as mp4v or XVID")
    with whole_file(path) as partial:
        writer, size, count = None, None, 0
        try:
            for frame in frames:
                padded = _pad_to_even(frame)
                if writer is None:
                    size = padded.shape[1::-1]
                    writer = _open_writer(partial, path, fps, size, codec)
                writer.write(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))
                count += 1
                yield count
        finally:
            if writer is not None:
                writer.release()
        _require_written(partial, path, size, count)


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    odd = [(0, side % 2) for side in frame.shape[:2]]
    return np.pad(frame, [*odd, (0, 0)], mode="edge") if (0, 1) in odd else frame


def _open_writer(
    partial: Path, path: Path, fps: float, size: tuple[int, int], codec: str
) -> cv2.VideoWriter:
    writer = cv2.VideoWriter(str(partial), cv2.VideoWriter_fourcc(*codec), fps, size)
    if not writer.isOpened():
        raise ValueError(
            f"{path} cannot be written with codec {codec}: this OpenCV lacks it, or {path.suffix} "
            "does not hold it; mp4v goes into .mp4, MJPG into .avi everywhere"
        )
    return writer


def _require_written(partial: Path, path: Path, size: tuple[int, int] | None, count: int) -> None:
    """Refuses a file with another number of frames; OpenCV says nothing if it cannot write."""
    if not count:
        raise ValueError(f"{path} is not written: there was no frame")
    with _open(str(partial), f"{path} could not be written: is the disk full?") as capture:
        found = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        found_size = tuple(round(capture.get(side)) for side in sides)
        is_estimated = path.suffix.lower() in (".mkv", ".webm")
    if found_size != size or (found != count and not is_estimated):
        raise ValueError(f"{path} could not be written: {found} of {count} frames are in the file")


def in_real_time(frames: Iterable[np.ndarray], fps: float) -> Iterator[np.ndarray]:
    """Repeats frames that come more slowly than the rate, so that they last as long as they did."""
    start, written = time.monotonic(), 0
    for frame in frames:
        due = max(round((time.monotonic() - start) * fps), written + 1)
        for _ in range(due - written):
            yield frame
        written = due
