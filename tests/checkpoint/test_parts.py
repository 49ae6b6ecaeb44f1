"""What fine-tuning may begin anew, held against the released shapes."""

import pytest

from kmax_deeplab.checkpoint.parts import check_parts, part_of
from kmax_deeplab.checkpoint.released import from_released
from tests.golden import released

COCO, ADE20K, CITYSCAPES = (
    f"{name}/panoptic_segmentation/kmax_r50.yaml" for name in ("coco", "ade20k", "cityscapes")
)


def shapes(config):
    found = released.read("manifest.json.gz")[config]
    return {from_released(name): shape for name, shape in found.items()}


def test_exactly_the_class_heads_depend_on_the_classes():
    coco, ade20k = shapes(COCO), shapes(ADE20K)
    differing = {name for name in coco if coco[name] != ade20k[name]}
    assert differing == {name for name in coco if part_of(name) == "classes"}


def test_the_other_parts_are_cluster_centres_and_semantic_head():
    coco, cityscapes = shapes(COCO), shapes(CITYSCAPES)
    parts = {part_of(n) for n in coco.keys() ^ cityscapes.keys() if "auxiliary" in n}
    assert parts == {"classes", "semantic"}
    queries = [name for name in coco if part_of(name) == "queries"]
    assert queries == ["sem_seg_head.predictor.cluster_centers.weight"]


def test_an_unknown_part_is_refused_with_the_accepted_ones():
    with pytest.raises(ValueError, match=r"REINITIALIZE names \['head'\].*'classes', 'queries'"):
        check_parts(["classes", "head"])
