"""Small trees of the benchmarks as their publishers hand them out: archives, names, encodings."""

import io
import tarfile
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from detectron2.data.datasets.builtin_meta import CITYSCAPES_CATEGORIES, COCO_CATEGORIES
from pycocotools import mask as masks

from kmax_deeplab.data.format.pngs import encode_ids
from kmax_deeplab.data.format.published import published_categories
from tests.datasets.scenes import (
    Region,
    as_json,
    draw_scene,
    encoded,
    paint,
    photograph,
    write_zip,
    zipped,
)

COUNTS = {"train": 3, "val": 4}
"""Images of each split."""


def build_coco(root: Path) -> None:
    """Writes COCO's downloads: PNGs in an archive in an archive, crowds, ids that are colours."""
    panoptic, instances = {}, {}
    for split, count in COUNTS.items():
        images, segmented, things, photos, pngs = [], [], [], {}, {}
        for index in range(count):
            rng = np.random.default_rng((1, len(split), index))
            height, width = 64 + 4 * index, 96
            regions = _coco_regions(rng, height, width)
            labels, stem = paint(regions, height, width), f"{139 + 100 * index:012d}"
            images.append(
                {"id": int(stem), "file_name": f"{stem}.jpg", "height": height, "width": width}
            )
            photos[f"{split}2017/{stem}.jpg"] = encoded(photograph(labels, rng), "JPEG")
            ids = rng.choice(256**3 - 1, len(regions), replace=False) + 1
            ids_map = np.append(0, ids)[labels]
            pngs[f"panoptic_{split}2017/{stem}.png"] = encoded(encode_ids(ids_map), "PNG")
            segments = _coco_segments(regions, labels, ids)
            segmented.append(
                {"image_id": int(stem), "file_name": f"{stem}.png", "segments_info": segments}
            )
            things += _coco_instances(regions, int(stem), height, width, len(things))
        pngs[f"__MACOSX/panoptic_{split}2017/._{stem}.png"] = b"junk"
        content = {"info": {}, "licenses": [], "images": images}
        panoptic[f"annotations/panoptic_{split}2017.zip"] = zipped(pngs)
        panoptic[f"annotations/panoptic_{split}2017.json"] = as_json(
            {**content, "annotations": segmented, "categories": COCO_CATEGORIES}
        )
        kinds = [category for category in COCO_CATEGORIES if category["isthing"]]
        instances[f"annotations/instances_{split}2017.json"] = as_json(
            {**content, "annotations": things, "categories": kinds}
        )
        instances[f"annotations/captions_{split}2017.json"] = as_json({})
        write_zip(root / "coco" / f"{split}2017.zip", photos)
    write_zip(root / "coco/panoptic_annotations_trainval2017.zip", panoptic)
    write_zip(root / "coco/annotations_trainval2017.zip", instances)


def _coco_regions(rng: np.random.Generator, height: int, width: int) -> list[Region]:
    kinds = [category["isthing"] for category in COCO_CATEGORIES]
    stuff = [index for index, is_thing in enumerate(kinds) if not is_thing][10:14]
    return draw_scene(rng, stuff, [0, 2, 16], height, width)


def _coco_segments(regions: list[Region], labels: np.ndarray, ids: np.ndarray) -> list[dict]:
    return [
        {
            "id": int(ids[number - 1]),
            "category_id": COCO_CATEGORIES[region.class_index]["id"],
            "iscrowd": int(region.is_crowd),
            "area": int((labels == number).sum()),
            "bbox": masks.toBbox(masks.encode(np.asfortranarray(labels == number))).tolist(),
        }
        for number, region in enumerate(regions, start=1)
    ]


def _coco_instances(
    regions: list[Region], image_id: int, height: int, width: int, before: int
) -> list[dict]:
    """Describes things by polygons, which may overlap, and crowds by uncompressed run lengths."""
    annotations = []
    for region in (r for r in regions if COCO_CATEGORIES[r.class_index]["isthing"]):
        rows, columns = region.bottom - region.top, region.right - region.left
        corners = np.array(region.polygon) + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[region.area] = 1
        runs = np.diff(np.flatnonzero(np.diff(np.pad(mask.ravel("F"), 1, constant_values=2))))
        first = int(mask[0, 0] == 1)
        counts = {"size": [height, width], "counts": [0] * first + runs.tolist()}
        assert masks.area(masks.frPyObjects(counts, height, width)) == rows * columns
        annotations.append(
            {
                "id": before + len(annotations) + 1,
                "image_id": image_id,
                "category_id": COCO_CATEGORIES[region.class_index]["id"],
                "iscrowd": int(region.is_crowd),
                "segmentation": counts if region.is_crowd else [corners.ravel().tolist()],
                "area": rows * columns,
                "bbox": [region.left, region.top, columns, rows],
            }
        )
    return annotations


def build_cityscapes(root: Path) -> None:
    """Writes Cityscapes' downloads; the official tools draw the labels from the polygons."""
    truth, photos = {"README": b"", "license.txt": b""}, {}
    for split, count in COUNTS.items():
        for index in range(count):
            rng = np.random.default_rng((2, len(split), index))
            city = {"train": ("aachen", "ulm"), "val": ("frankfurt", "munster")}[split][index % 2]
            stem = f"{city}_{index:06d}_{19 + index:06d}"
            name = f"gtFine/{split}/{city}/{stem}_gtFine_"
            truth[f"{name}polygons.json"] = as_json(_city_polygons(rng, 64, 128))
            annotation = Annotation()
            annotation.fromJsonText(truth[f"{name}polygons.json"])
            instances = np.asarray(createInstanceImage(annotation, "ids")).astype(np.uint16)
            labels = np.asarray(createLabelImage(annotation, "ids"))
            colors = np.asarray(createLabelImage(annotation, "color"))
            for kind, pixels in (
                ("instanceIds", instances),
                ("labelIds", labels),
                ("color", colors),
            ):
                truth[f"{name}{kind}.png"] = encoded(pixels, "PNG")
            photo = encoded(photograph(labels, rng), "PNG")
            photos[f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png"] = photo
    write_zip(root / "cityscapes/gtFine_trainvaltest.zip", truth)
    write_zip(root / "cityscapes/leftImg8bit_trainvaltest.zip", photos)


def _city_polygons(rng: np.random.Generator, height: int, width: int) -> dict:
    """Describes a scene as the annotators did: groups, ego vehicle, what evaluation ignores."""
    names = [category["name"] for category in CITYSCAPES_CATEGORIES]
    regions = draw_scene(rng, [0, 2, 6, 10], [11, 13, 18], height, width)
    objects = [
        {
            "label": names[region.class_index] + ("group" if region.is_crowd else ""),
            "polygon": region.polygon,
        }
        for region in regions
    ]
    car = {"label": "ego vehicle", "polygon": Region(height - 4, 0, height, width, 0).polygon}
    border = {"label": "out of roi", "polygon": Region(0, 0, height, 2, 0).polygon}
    plate = {"label": "license plate", "polygon": Region(10, 40, 14, 44, 0).polygon}
    return {"imgHeight": height, "imgWidth": width, "objects": [*objects, plate, car, border]}


def build_ade20k(root: Path) -> None:
    """Writes ADE20K's downloads: things lie over labels of stuff, and some have no instance."""
    name, categories = "ADEChallengeData2016", published_categories("ade20k")
    things = [
        i for i, is_thing in zip(categories.ids, categories.is_thing, strict=True) if is_thing
    ]
    files = {f"{name}/objectInfo150.txt": b"Idx\tRatio\n", f"{name}/sceneCategories.txt": b""}
    instance_files = {}
    for split, folder in (("train", "training"), ("val", "validation")):
        for index in range(COUNTS[split]):
            rng = np.random.default_rng((3, len(split), index))
            height, width, stem = 64 + index, 96, f"ADE_{split}_{index + 1:08d}"
            regions = draw_scene(rng, [0, 2, 3, 6], things[:3], height, width)
            labels = paint(regions, height, width)
            scene, instances = ade20k_pixels(regions, labels, things)
            photo = encoded(photograph(labels, rng), "JPEG")
            files[f"{name}/images/{folder}/{stem}.jpg"] = photo
            files[f"{name}/annotations/{folder}/{stem}.png"] = encoded(scene, "PNG")
            instance_files[f"annotations_instance/{folder}/{stem}.png"] = encoded(instances, "PNG")
    write_zip(root / f"{name}.zip", files)
    with tarfile.open(root / "annotations_instance.tar", "w") as archive:
        for member, content in instance_files.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def ade20k_pixels(
    regions: list[Region], labels: np.ndarray, things: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes a scene: class + 1; and (category of 100, number of the instance, 0).

    The second thing is missing from the scene's labels, the crowd has no instance.
    """
    classes = [region.class_index + 1 for region in regions]
    scene = np.array([0, *classes], dtype=np.uint8)[labels]
    scene[labels == 4] = classes[1]
    instances = np.zeros((*labels.shape, 3), dtype=np.uint8)
    for number, region in enumerate(regions, start=1):
        if region.class_index in things and not region.is_crowd:
            instances[labels == number] = (things.index(region.class_index) + 1, number, 0)
    return scene, instances
