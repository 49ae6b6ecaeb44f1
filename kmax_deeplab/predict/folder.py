"""Predicting many images into a folder: names and files enter, whatever was asked for is written.

Threads read images ahead, others write what was found; between them one predicts.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from kmax_deeplab.data.samples.reading import UnreadableImageError
from kmax_deeplab.modeling.cpu.heap import return_freed_memory
from kmax_deeplab.predict.origin import image_of
from kmax_deeplab.predict.prediction import HUGE, PredictedImage
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.results import Results
from kmax_deeplab.predict.sources import work_ahead

Told = tuple[str, list[int], PredictedImage]
"""Name of an image, what tells its file from a newer one, and what is seen in it."""


def predict_folder(
    predict: Predictor,
    ahead: Mapping[str, Path],
    to: Results,
    *,
    alone: bool,
    skip: Callable[[Path, OSError], None],
) -> Iterator[str]:
    """Predicts images and writes what is found.

    Args:
        predict: who predicts.
        ahead: path of each image by its name.
        to: where to write.
        alone: whether no other process writes there, so that the list can keep up.
        skip: is told of an image that cannot be read, which is left out.

    Yields:
        The name of each image of which all is written.
    """

    def write(told: Told) -> str:
        with predict.watch("write"):
            return write_image(*told, to)

    try:
        for future in work_ahead(write, _predicted(predict, ahead, to, skip), predict.workers):
            yield future.result()
            if alone:
                to.keep_up()
    finally:
        to.gather()


def write_image(name: str, image: list[int], seen: PredictedImage, to: Results) -> str:
    """Writes what was asked for of an image, then its PNG, with which it counts as predicted."""
    seen = replace(seen, categories=to.categories)
    for output in to.outputs.values():
        output.write(output.path(to.output, name), seen)
        if seen.panoptic.size > HUGE:
            return_freed_memory()
    segments = seen.to_coco()["segments_info"]
    to.add(name, image, seen.panoptic, segments, is_crowded=seen.is_crowded)
    return name


def _predicted(
    predict: Predictor,
    ahead: Mapping[str, Path],
    to: Results,
    skip: Callable[[Path, OSError], None],
) -> Iterator[Told]:
    waiting: deque[tuple[str, Path, list[int]]] = deque()

    def listed() -> Iterator[Path]:
        for name, path in ahead.items():
            try:
                image = image_of(path)  # before it is read
            except FileNotFoundError as error:  # removed since it was found
                skip(path, error)
                continue
            waiting.append((name, path, image))
            yield path

    def leave_out(_: str, error: UnreadableImageError) -> None:
        skip(waiting.popleft()[1], error)

    views = any(output.needs_views for output in to.outputs.values())
    for seen in predict.each(listed(), leave_out, keep=views):
        name, _, image = waiting.popleft()
        yield name, image, seen.with_views() if views else seen  # the network is this thread's
