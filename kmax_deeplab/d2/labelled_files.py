"""The files of a labelled image: reading them and catching what is wrong with them.

What enters: a record of a panoptic dataset. What leaves: a `LabelledImage` of the files' size.
"""

from collections.abc import Mapping

import numpy as np
from detectron2.data import detection_utils

from kmax_deeplab.data.labelled_image import LabelledImage, label_segments
from kmax_deeplab.data.panoptic_format import decode_ids


class UnreadableImageError(OSError):
    """An image file is there but damaged; training can go on without it."""


def read_labelled(record: Mapping, image_format: str) -> LabelledImage:
    """Reads the image and the panoptic PNG of a record.

    Raises:
        ValueError: sizes or segment ids of image, PNG and record differ.
    """
    image_file, png_file = record["file_name"], record["pan_seg_file_name"]
    image = read_image(image_file, image_format)
    png = read_image(png_file, "RGB")
    if image.shape[:2] != png.shape[:2]:
        raise ValueError(
            f"{image_file} is {image.shape[:2]} pixels high and wide (EXIF rotation applied), "
            f"{png_file} is {png.shape[:2]}: replace the wrong one"
        )
    detection_utils.check_image_size(dict(record), image)
    try:
        segment_map, segments = label_segments(decode_ids(png), record["segments_info"])
    except ValueError as error:
        raise ValueError(
            f"{png_file} (of {image_file}): {error}; PNG and JSON must be of one version"
        ) from error
    return LabelledImage(image, segment_map, segments, np.ones(segment_map.shape, dtype=bool))


def read_image(path: str, image_format: str) -> np.ndarray:
    """Reads an image, upright, as (H, W, 3) uint8.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: the file is damaged.
    """
    try:
        return detection_utils.read_image(path, image_format)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing, but the dataset's JSON lists it: restore it or correct the "
            "folders in DATASETS.PANOPTIC"
        ) from error
    except (OSError, SyntaxError) as error:  # the latter is what PIL raises for broken PNGs
        raise UnreadableImageError(0, str(error), path) from error
