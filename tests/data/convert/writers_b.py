"""Writers of COCO's formats and of label PNGs, for what is converted back."""

from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.whole_files import write_json
from tests.data.convert.round_trip import Truth, copy_picture


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


def _begin(truth: Truth) -> dict:
    """Returns the images and categories of a dataset as a JSON without annotations."""
    content = truth.content
    order = {image["id"]: image for image in content["images"]}
    images = [dict(order[one["image_id"]]) for one in content["annotations"]]
    categories = [
        {key: row[key] for key in ("id", "name", "isthing")} for row in content["categories"]
    ]
    return {"images": images, "annotations": [], "categories": categories}
