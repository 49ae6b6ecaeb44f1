"""Writers of other tools' formats, for what is converted back: a panoptic dataset enters."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from kmax_deeplab.data.convert.labels import Region
from kmax_deeplab.data.convert.voc_classes import VOID, voc_color
from kmax_deeplab.data.format.pngs import encode_ids
from kmax_deeplab.whole_files import write_json, write_text
from tests.data.convert.round_trip import Truth, copy_picture, save_mask
from tests.data.convert.tracing import join, trace


def write_label_pngs(truth: Truth, folder: Path) -> list[str]:
    """Writes images/, semantic/ and classes.tsv, whose objects are to be told by their gaps.

    Returns:
        The words that convert it.
    """
    rows = truth.content["categories"]
    values = {row["name"]: value for value, row in enumerate(rows, 1)}
    for picture in truth.pictures():
        copy_picture(picture, folder / "images" / picture.path.stem)
        semantic = np.zeros(picture.ids.shape, np.uint8)
        for number, name in picture.classes.items():
            semantic[picture.ids == number] = values[name]
        path = folder / "semantic" / f"{picture.path.stem}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(semantic).save(path)
    lines = [f"{values[row['name']]}\t{row['name']}\t0\n" for row in rows]
    (folder / "classes.tsv").write_text("id\tname\tisthing\n" + "".join(lines))
    places = [f"--{kind}={folder / kind}" for kind in ("images", "semantic")]
    words = [f"--classes={folder / 'classes.tsv'}", "--components", ",".join(truth.names(1))]
    return ["pngs", *places, *words, "--ignore", "0"]


def write_bowl(truth: Truth, folder: Path) -> list[str]:
    """Writes the layout of the 2018 Data Science Bowl; classes are folders, stuff is left out.

    Returns:
        The words that convert it; where there was stuff, it is what no mask marks.
    """
    for picture in truth.pictures():
        home = folder / picture.path.stem
        copy_picture(picture, home / "images" / picture.path.stem)
        (home / "masks").mkdir()
        for number, name in picture.classes.items():
            if name in truth.names(1):
                save_mask(home / "masks" / name / f"{number}.png", picture.ids == number)
    return ["masks", f"--images={folder}", *_background(truth)]


def write_masks(truth: Truth, folder: Path) -> list[str]:
    """Writes images/ and masks/, a folder of masks for each image, stuff among them.

    Returns:
        The words that convert it.
    """
    for picture in truth.pictures():
        stem = picture.path.stem
        copy_picture(picture, folder / "images" / stem)
        for number, name in picture.classes.items():
            save_mask(folder / "masks" / stem / name / f"{number}.png", picture.ids == number)
    places = [f"--{kind}={folder / kind}" for kind in ("images", "masks")]
    return ["masks", *places, "--things", *truth.names(1)]


def _background(truth: Truth) -> list[str]:
    """Returns the words that make the one stuff of a dataset of what nobody marked."""
    return [word for name in truth.names(0) for word in ("--background", name)]


def write_voc(truth: Truth, folder: Path) -> list[str]:
    """Writes a Pascal VOC folder as CVAT does: labelmap.txt and RGB colours for classes.

    Objects are numbers of a palette where it has enough, and colours otherwise.

    Returns:
        The words that convert it.
    """
    names = ["background", *(n for n in (*truth.names(1), *truth.names(0)) if n != "background")]
    colors = np.array([voc_color(number) for number in range(256)], np.uint8)
    stems = []
    for picture in truth.pictures():
        stem = picture.path.stem
        copy_picture(picture, folder / "JPEGImages" / stem)
        classes = np.zeros(picture.ids.shape, np.uint8)
        objects = np.zeros(picture.ids.shape, np.int32)
        classes[picture.ids == 0] = VOID
        for instance, (segment, name) in enumerate(picture.classes.items(), start=1):
            classes[picture.ids == segment] = names.index(name)
            objects[picture.ids == segment] = instance
        _save(folder / "SegmentationClass" / f"{stem}.png", colors[classes])
        fits = objects.max() < VOID
        path = folder / "SegmentationObject" / f"{stem}.png"
        _save(path, objects.astype(np.uint8) if fits else encode_ids(objects), colors)
        stems.append(stem)
    lines = [f"{name}:{','.join(map(str, colors[i]))}::\n" for i, name in enumerate(names)]
    (folder / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(lines))
    write_text(folder / "ImageSets/Segmentation/default.txt", "\n".join(stems))
    return ["voc", f"--root={folder}", "--things", *truth.names(1)]


def _save(path: Path, values: np.ndarray, palette: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if image.mode == "L" and palette is not None:
        image.putpalette(palette.ravel().tolist())
    image.save(path)


def write_yolo(truth: Truth, folder: Path) -> list[str]:
    """Writes a YOLO dataset: one outline an object, whose parts and holes are joined; stuff, too.

    Returns:
        The words that convert it.
    """
    names = [*truth.names(1), *truth.names(0)]
    for picture in truth.pictures():
        copy_picture(picture, folder / "images/train" / picture.path.stem)
        height, width = picture.ids.shape
        lines = []
        for segment, name in picture.classes.items():
            corners = join(trace(picture.ids == segment))
            shares = " ".join(f"{x / width:.6f} {y / height:.6f}" for x, y in corners)
            lines.append(f"{names.index(name)} {shares}\n")
        write_text(folder / "labels/train" / f"{picture.path.stem}.txt", "".join(lines))
    listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    write_text(folder / "data.yaml", f"path: .\ntrain: images/train\nval:\nnames:\n{listed}")
    return ["yolo", f"--data={folder / 'data.yaml'}", "--things", *truth.names(1)]


def write_labelme(truth: Truth, folder: Path) -> list[str]:
    """Writes JSONs of LabelMe beside the images: polygons, or masks where there are holes.

    Parts of an object have one group_id. Stuff is left out.

    Returns:
        The words that convert it; where there was stuff, it is what no shape marks.
    """
    for picture in truth.pictures():
        stem = picture.path.stem
        copy_picture(picture, folder / stem)
        shapes = []
        for segment, name in picture.classes.items():
            if name in truth.names(1):
                shapes += _draw_shapes(picture.ids == segment, name, segment)
        height, width = picture.ids.shape
        content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imageData": None}
        content |= {"imagePath": f"{stem}{picture.path.suffix}"}
        content |= {"imageHeight": height, "imageWidth": width}
        write_json(folder / f"{stem}.json", content, indent=2)
    return ["labelme", f"--json={folder}", *_background(truth)]


def _draw_shapes(mask: np.ndarray, name: str, group: int) -> list[dict]:
    """Returns the shapes of an object, as LabelMe 5 writes them."""
    region = Region.of(0, mask)
    parts, count = ndimage.label(region.mask)
    shapes = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
        left, top = region.left + columns.start, region.top + rows.start
        part = parts[rows, columns] == number
        lines = [[(x + left, y + top) for x, y in line] for line in trace(part)]
        shape = {"label": name, "group_id": group if count > 1 else None, "description": ""}
        shape |= {"points": lines[0], "shape_type": "polygon", "flags": {}, "mask": None}
        if len(lines) > 1:
            buffer = io.BytesIO()
            Image.fromarray(part).save(buffer, format="PNG")
            corners = [(left, top), (left + part.shape[1] - 1, top + part.shape[0] - 1)]
            text = base64.b64encode(buffer.getvalue()).decode()
            shape |= {"points": corners, "shape_type": "mask", "mask": text}
        shapes.append(shape)
    return shapes
