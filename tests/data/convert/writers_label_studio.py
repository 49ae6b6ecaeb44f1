"""Writers of Label Studio's export, for what is converted back: a panoptic dataset enters."""

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from kmax_deeplab.whole_files import write_json
from tests.data.convert.round_trip import Truth, copy_picture
from tests.data.convert.tracing import join, trace

RUN_SIZES = (3, 4, 8, 16)
"""Bits of the lengths of runs that Label Studio's own encoder uses."""


def write_label_studio(truth: Truth, folder: Path) -> list[str]:
    """Writes a JSON export of Label Studio: brush labels, every second one as a bitmask.

    Returns:
        The words that convert it.
    """

    def describe(mask: np.ndarray, name: str, segment: int) -> dict:
        return brush_result(mask, name, as_bitmask=segment % 2 == 0)

    return _write_tasks(truth, folder, describe)


def write_label_studio_polygons(truth: Truth, folder: Path) -> list[str]:
    """Writes a JSON export of Label Studio: polygons that follow the borders of pixels.

    Returns:
        The words that convert it.
    """

    def describe(mask: np.ndarray, name: str, segment: int) -> dict:
        height, width = mask.shape
        points = [[100 * x / width, 100 * y / height] for x, y in join(trace(mask))]
        size = {"original_height": height, "original_width": width, "image_rotation": 0}
        value = {"points": points, "closed": True, "polygonlabels": [name]}
        return {"type": "polygonlabels", "id": f"r{segment}", **size, "value": value}

    return _write_tasks(truth, folder, describe)


def _write_tasks(
    truth: Truth, folder: Path, describe: Callable[[np.ndarray, str, int], dict]
) -> list[str]:
    tasks = []
    for number, picture in enumerate(truth.pictures(), start=1):
        copy_picture(picture, folder / "images" / picture.path.stem)
        results = [
            describe(picture.ids == segment, name, segment)
            for segment, name in picture.classes.items()
        ]
        place = f"/data/upload/1/0a1b2c3d-{picture.path.name}"
        annotation = {"id": 10 * number, "was_cancelled": False, "result": results}
        tasks.append({"id": number, "data": {"image": place}, "annotations": [annotation]})
    write_json(folder / "project.json", tasks)
    places = [f"--json={folder / 'project.json'}", f"--images={folder / 'images'}"]
    return ["labelstudio", *places, "--things", *truth.names(1)]


def brush_result(mask: np.ndarray, name: str, *, as_bitmask: bool = False) -> dict:
    """Writes a region of Label Studio as a brush or bitmask label."""
    kind = "bitmask" if as_bitmask else "brush"
    value = (
        {"imageDataURL": encode_bitmask(mask)}
        if as_bitmask
        else {"format": "rle", "rle": encode_brush(mask)}
    )
    return {
        "type": f"{kind}labels",
        "original_height": mask.shape[0],
        "original_width": mask.shape[1],
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": [name]},
    }


def encode_brush(mask: np.ndarray) -> list[int]:
    """Packs a mask as Label Studio's converter does: 255 in all four channels, or 0."""
    flat = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] ^ 1))
    bits = f"{flat.size:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in RUN_SIZES)
    words = [bits]
    for start, length in zip(starts, np.diff([*starts, flat.size]), strict=True):
        for step in (*[2**16] * ((length - 1) // 2**16), (length - 1) % 2**16 + 1):
            which = next(i for i, size in enumerate(RUN_SIZES) if step <= 2**size)
            words.append(f"1{which:02b}{step - 1:0{RUN_SIZES[which]}b}{flat[start]:08b}")
    text = "".join(words)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def encode_bitmask(mask: np.ndarray) -> str:
    """Writes a mask as a PNG in a URL: black where it is, transparent elsewhere."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask, 3] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
