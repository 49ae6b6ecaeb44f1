"""A video with its segments: frames enter, painted ones leave, things keep their colours."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.predict.prediction import PredictedImage
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.tracks import Tracks
from kmax_deeplab.predict.video import Video, in_real_time, write_video

ESCAPE = 27
"""Key that ends what is shown."""


def film(
    predict: Predictor,
    video: Video,
    output: Path,
    categories: Categories,
    *,
    codec: str = "mp4v",
    show: bool = False,
    is_ended: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Paints a video; it appears under its name when it is whole.

    Args:
        predict: who predicts.
        video: to look at. What a camera sees is repeated until the next frame is painted.
        output: file to write.
        categories: names and colours of the classes.
        codec: see `write_video`.
        show: whether to show the frames in a window too, where Escape ends the video.
        is_ended: whether to end it before the next frame.

    Yields:
        The number of frames so far.
    """
    painted = paint(predict, video, categories)
    if show:
        painted = _shown(painted)
    painted = takewhile(lambda _: not is_ended(), painted)
    if video.is_live:
        painted = in_real_time(painted, video.fps)
    yield from write_video(output, painted, video.fps, codec)


def paint(predict: Predictor, video: Video, categories: Categories) -> Iterator[np.ndarray]:
    """Yields the frames of a video with their segments, (H, W, 3) uint8 RGB."""
    tracks = Tracks()
    for seen in _look(predict, _read(predict, video), is_live=video.is_live):
        numbers = tracks.follow(seen.panoptic, seen.segments)
        with predict.watch("write"):
            picture = replace(seen, categories=categories).draw(numbers)
        yield picture


def _read(predict: Predictor, video: Video) -> Iterator[np.ndarray]:
    frames = video.frames()
    while True:
        with predict.watch("read"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _look(
    predict: Predictor, frames: Iterator[np.ndarray], *, is_live: bool
) -> Iterator[PredictedImage]:
    if is_live:  # what is read ahead of a camera would be seen late
        yield from map(predict, frames)
    else:
        yield from predict.each(frames)


def _shown(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    for picture in pictures:
        yield picture
        if _show(picture) == ESCAPE:
            return


def _show(picture: np.ndarray) -> int:
    """Shows a picture; returns the key that is pressed.

    Raises:
        ValueError: there are no windows here.
    """
    try:
        cv2.imshow("kMaX-DeepLab", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) & 0xFF
    except cv2.error as error:
        raise ValueError(
            "--show needs an OpenCV with windows (pip install opencv-python, in the place of "
            "opencv-python-headless) and a screen"
        ) from error
