"""All three outputs of one image against full-resolution probabilities."""

import pytest
import torch
import torch.nn.functional as F

from kmax_deeplab.postprocessing import resize
from kmax_deeplab.postprocessing.image import postprocess
from kmax_deeplab.postprocessing.instances import InstanceMasks
from kmax_deeplab.postprocessing.resize import Geometry
from kmax_deeplab.structures import MergeThresholds

THRESHOLDS = MergeThresholds(thing=0.3, stuff=0.2, pixel=0.4, overlap=0.3)
IS_THING = torch.tensor([True, False, True, False, True])
GEOMETRY = Geometry(padded=(33, 65), image=(33, 56), output=(41, 70))
ALL = {"panoptic": True, "semantic": True, "instance": True}


def prediction(queries=10, grid=(9, 17), seed=0):
    """Class logits of 5 classes and void, and blobby mask logits."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 6 * torch.randn(1, queries, 4, 4, generator=generator)
    masks = F.interpolate(coarse, grid, mode="bilinear", align_corners=True)[0]
    return 3 * torch.randn(queries, 6, generator=generator), masks


def full_probs(mask_logits, geometry):
    """(Q, height, width) probabilities that the package never holds."""
    options = {"mode": "bilinear", "align_corners": geometry.padded[1] % 2 == 1}
    rows, columns = geometry.content
    canvas = F.interpolate(mask_logits[None], geometry.padded, **options)[..., :rows, :columns]
    return F.interpolate(canvas, geometry.output, **options)[0].softmax(0)


@pytest.mark.parametrize("padded", [(33, 65), (32, 64)])
def test_outputs_equal_those_of_full_resolution_maps(padded, monkeypatch):
    monkeypatch.setattr(resize, "CPU_BLOCK_VALUES", 3000)
    geometry = Geometry(padded, (20, 34), (41, 70))
    class_logits, mask_logits = prediction()
    result = postprocess(class_logits, mask_logits, geometry, THRESHOLDS, IS_THING, **ALL)
    probs = full_probs(mask_logits, geometry)
    class_probs = class_logits.softmax(1)[:, :5]
    semantic = torch.einsum("qk,qhw->khw", class_probs, probs)
    torch.testing.assert_close(result.semantic, semantic, atol=1e-5, rtol=1e-5)

    scores, pairs = class_probs.flatten().sort(descending=True)
    wanted = [(s, p // 5, p % 5) for s, p in zip(scores, pairs.tolist(), strict=True)]
    wanted = [(s, q, k) for s, q, k in wanted[:100] if IS_THING[k]]
    assert result.instances.classes.tolist() == [k for _, _, k in wanted]
    for found, mask, (score, query, _) in zip(
        result.instances.scores, result.instances.masks, wanted, strict=True
    ):
        expected = probs[query] > 0.4
        assert torch.equal(mask, expected)
        mean = (probs[query] * expected).sum() / (expected.sum() + 1e-6)
        torch.testing.assert_close(found, score * mean)


def test_panoptic_ids_partition_the_image_into_the_listed_segments():
    ids, segments = postprocess(*prediction(), GEOMETRY, THRESHOLDS, IS_THING).panoptic
    assert ids.shape == GEOMETRY.output
    assert ids.dtype == torch.int32
    assert set(ids.unique().tolist()) - {0} == {s["id"] for s in segments}
    assert [s["id"] for s in segments] == list(range(1, len(segments) + 1))
    assert len(segments) > 2


def test_permuting_the_queries_changes_nothing():
    class_logits, mask_logits = prediction()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    first = postprocess(class_logits, mask_logits, GEOMETRY, THRESHOLDS, IS_THING, **ALL)
    other = (class_logits[order], mask_logits[order])
    second = postprocess(*other, GEOMETRY, THRESHOLDS, IS_THING, **ALL)
    assert torch.equal(first.panoptic[0], second.panoptic[0])
    for one, other in zip(first.panoptic[1], second.panoptic[1], strict=True):
        moved = {"query": order.tolist().index(one["query"]), "score": pytest.approx(one["score"])}
        assert {**one, **moved} == other
    torch.testing.assert_close(first.semantic, second.semantic)
    assert torch.equal(first.instances.masks, second.instances.masks)


def test_only_what_is_asked_for_is_computed():
    settings = (*prediction(), GEOMETRY, THRESHOLDS, IS_THING)
    result = postprocess(*settings, panoptic=False, semantic=True)
    assert result.panoptic is None
    assert result.instances is None
    assert result.semantic.shape == (5, 41, 70)


def test_instances_alone_may_be_stuff_and_are_limited_before_the_choice_of_things():
    settings = (*prediction(), GEOMETRY, THRESHOLDS, IS_THING)
    alone = postprocess(*settings, panoptic=False, instance=True, detections_per_image=7)
    beside = postprocess(*settings, instance=True, detections_per_image=7)
    assert len(alone.instances.scores) == 7
    things = IS_THING[alone.instances.classes]
    assert 0 < things.sum() < 7
    assert torch.equal(beside.instances.masks, alone.instances.masks[things])
    assert torch.equal(beside.instances.scores, alone.instances.scores[things])


def test_logits_of_any_size_stay_finite():
    class_logits, mask_logits = prediction()
    result = postprocess(
        class_logits, 1000 * mask_logits, GEOMETRY, THRESHOLDS, IS_THING, semantic=True
    )
    assert result.semantic.isfinite().all()


def test_arguments_that_disagree_are_refused():
    class_logits, mask_logits = prediction()
    with pytest.raises(ValueError, match="10 rows of class logits, but 9 masks"):
        postprocess(class_logits, mask_logits[:9], GEOMETRY, THRESHOLDS, IS_THING)
    with pytest.raises(ValueError, match="4 classes in is_thing, but 6 class logits"):
        postprocess(class_logits, mask_logits, GEOMETRY, THRESHOLDS, IS_THING[:4])


@pytest.mark.parametrize("things", [[False] * 5, [False, False, True, False, False]])
@pytest.mark.parametrize("detections", [1, 3, 10_000])
def test_few_or_no_instances_are_no_error(things, detections):
    result = postprocess(
        *prediction(),
        *(GEOMETRY, THRESHOLDS, torch.tensor(things)),
        **{"instance": True, "detections_per_image": detections},
    )
    found = result.instances
    assert len(found.scores) == len(found.classes) == len(found.masks) <= 10 * sum(things)
    assert found.masks.shape[1:] == GEOMETRY.output
    assert (found.classes == 2).all()


def test_boxes_enclose_their_masks():
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[0, 2:4, 3:7] = True
    masks[0, 5, 0] = True
    masks[2] = True
    found = InstanceMasks(torch.zeros(3), torch.zeros(3), masks)
    assert found.boxes.tolist() == [[0, 2, 7, 6], [0, 0, 0, 0], [0, 0, 8, 6]]
