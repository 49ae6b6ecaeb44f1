"""Writers of annotation tools' exports, for what is converted back: a panoptic dataset enters."""

import base64
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.whole_files import write_json
from tests.data.convert.round_trip import LabelledPicture, Truth, copy_picture

RUN_SIZES = (3, 4, 8, 16)
"""Bits of the lengths of runs that Label Studio's own encoder uses."""


def write_detection(truth: Truth, folder: Path) -> list[str]:
    """Writes a COCO detection JSON with compressed run lengths, stuff among its categories.

    Returns:
        The words that convert it.
    """
    content, number = _begin(truth), 0
    ids = {row["name"]: row["id"] for row in content["categories"]}
    for image, picture in zip(content["images"], truth.pictures(), strict=True):
        for segment, name in picture.classes.items():
            number += 1
            runs = coco_mask.encode(np.asfortranarray(picture.ids == segment).view(np.uint8))
            runs["counts"] = runs["counts"].decode()
            row = {"id": number, "image_id": image["id"], "category_id": ids[name]}
            content["annotations"].append({**row, "segmentation": runs})
    write_json(folder / "instances.json", content)
    return ["detection", f"--json={folder / 'instances.json'}", "--things", *truth.names(1)]


def write_instance_pngs(truth: Truth, folder: Path) -> list[str]:
    """Writes images/, semantic/, instances/ of 16 bits and classes.tsv.

    Returns:
        The words that convert it.
    """
    rows = truth.content["categories"]
    values = {row["name"]: row["id"] for row in rows}
    for picture in truth.pictures():
        copy_picture(picture, folder / "images" / picture.path.stem)
        semantic = np.full(picture.ids.shape, 255, np.uint8)
        for number, name in picture.classes.items():
            semantic[picture.ids == number] = values[name]
        instances = picture.ids.astype(np.uint16)
        for kind, array in (("semantic", semantic), ("instances", instances)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(folder / kind / f"{picture.path.stem}.png")
    lines = [f"{row['id']}\t{row['name']}\t{row['isthing']}\n" for row in rows]
    (folder / "classes.tsv").write_text("id\tname\tisthing\n" + "".join(lines))
    places = [f"--{kind}={folder / kind}" for kind in ("images", "semantic", "instances")]
    return ["pngs", *places, f"--classes={folder / 'classes.tsv'}"]


def write_datumaro_panoptic(truth: Truth, folder: Path) -> list[str]:
    """Writes the COCO-panoptic export of Datumaro, which CVAT and others use.

    It calls no class a thing, gives no colours, numbers that end with .0 as areas, and lists a
    segment though others cover it.

    Returns:
        The words that convert it.
    """
    content = _begin(truth)
    names = {row["name"]: row["id"] for row in content["categories"]}
    for row in content["categories"]:
        row.update(isthing=0, supercategory="")
        row.pop("color", None)
    pngs = folder / "annotations" / "panoptic_default"
    for image, picture in zip(content["images"], truth.pictures(), strict=True):
        name = f"{picture.path.stem}.png"
        infos = [
            {"id": i, "category_id": names[label], "area": float((picture.ids == i).sum())}
            for i, label in picture.classes.items()
        ]
        hidden = {"id": max(picture.classes) + 1, "category_id": infos[0]["category_id"]}
        infos.append({**hidden, "area": 9.0})
        annotation = {"image_id": image["id"], "file_name": name, "segments_info": infos}
        content["annotations"].append(annotation)
        write_ids(pngs / name, picture.ids)
        copy_picture(picture, folder / "images" / picture.path.stem)
    path = folder / "annotations" / "panoptic_default.json"
    write_json(path, content)
    places = [f"--json={path}", f"--images={folder / 'images'}"]
    return ["panoptic", *places, "--things", *truth.names(1)]


def write_segments_ai(truth: Truth, folder: Path) -> list[str]:
    """Writes the COCO-panoptic export of the SDK of segments.ai.

    Ids are colours, those of stuff the colour of its class, so that its parts are listed with one
    id each time; PNGs lie beside the images.

    Returns:
        The words that convert it.
    """
    content = _begin(truth)
    rows = {row["name"]: row for row in content["categories"]}
    for number, row in enumerate(content["categories"]):
        row.update(attributes=None, color=[40 * number, 100, 200])
    for image, picture in zip(content["images"], truth.pictures(), strict=True):
        name = f"{picture.path.stem}_label_ground-truth_coco-panoptic.png"
        ids, infos = np.zeros_like(picture.ids), []
        for number, label in picture.classes.items():
            color = [number % 256, number // 256, 9] if rows[label]["isthing"] else None
            red, green, blue = color or rows[label]["color"]
            segment = red + 256 * green + 65536 * blue
            ids[picture.ids == number] = segment
            repeats = 1 if color else 2
            infos += [{"id": segment, "category_id": rows[label]["id"], "iscrowd": 0}] * repeats
        image.update(height=None, width=None)
        annotation = {"image_id": image["id"], "file_name": name, "segments_info": infos}
        content["annotations"].append(annotation)
        write_ids(folder / "images" / name, ids)
        copy_picture(picture, folder / "images" / picture.path.stem)
    path = folder / "export_coco-panoptic_jane_cells_v1.json"
    write_json(path, content)
    return ["panoptic", f"--json={path}", f"--pngs={folder / 'images'}"]


def write_label_studio(truth: Truth, folder: Path) -> list[str]:
    """Writes a JSON export of Label Studio: brush labels, every second one as a bitmask.

    Returns:
        The words that convert it.
    """
    tasks = []
    for number, picture in enumerate(truth.pictures(), start=1):
        copy_picture(picture, folder / "images" / picture.path.stem)
        results = [
            brush_result(picture.ids == segment, name, as_bitmask=segment % 2 == 0)
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


def write_cvat(truth: Truth, folder: Path) -> list[str]:
    """Writes an XML of CVAT for images 1.1 with masks.

    Returns:
        The words that convert it.
    """
    root = ElementTree.Element("annotations")
    labels = ElementTree.SubElement(
        ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels"
    )
    for row in truth.content["categories"]:
        label = ElementTree.SubElement(labels, "label")
        for tag, text in (("name", row["name"]), ("color", "#2080c0"), ("type", "any")):
            ElementTree.SubElement(label, tag).text = text
    for number, picture in enumerate(truth.pictures()):
        copy_picture(picture, folder / "images" / picture.path.stem)
        _add_cvat_image(root, number, picture)
    ElementTree.ElementTree(root).write(folder / "annotations.xml", encoding="utf-8")
    places = [f"--xml={folder}", f"--images={folder / 'images'}"]
    return ["cvat", *places, "--things", *truth.names(1)]


def _add_cvat_image(root: ElementTree.Element, number: int, picture: LabelledPicture) -> None:
    height, width = picture.ids.shape
    size = {"width": str(width), "height": str(height)}
    image = ElementTree.SubElement(root, "image", id=str(number), name=picture.path.name, **size)
    for segment, name in picture.classes.items():
        values = {"label": name, "occluded": "0", "z_order": "0"}
        values |= encode_cvat_mask(picture.ids == segment)
        ElementTree.SubElement(image, "mask", values)


def encode_cvat_mask(mask: np.ndarray) -> dict[str, str]:
    """Writes a mask as run lengths of its box, row by row, the first of what lies outside."""
    (top, bottom), (left, right) = (
        (found[0], found[-1] + 1) for found in (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    )
    flat = mask[top:bottom, left:right].ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    text = {key: str(value) for key, value in box.items()}
    return {"rle": ", ".join(map(str, [0, *runs] if flat[0] else runs)), **text}


def _begin(truth: Truth) -> dict:
    """Returns the images and categories of a dataset as a JSON without annotations."""
    content = truth.content
    order = {image["id"]: image for image in content["images"]}
    images = [dict(order[one["image_id"]]) for one in content["annotations"]]
    categories = [
        {key: row[key] for key in ("id", "name", "isthing")} for row in content["categories"]
    ]
    return {"images": images, "annotations": [], "categories": categories}


WRITERS = (
    write_detection,
    write_instance_pngs,
    write_datumaro_panoptic,
    write_segments_ai,
    write_label_studio,
    write_cvat,
)
