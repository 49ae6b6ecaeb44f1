"""The panoptic merge by hand and against full binary masks."""

import pytest
import torch

from kmax_deeplab.postprocessing.holders import Holders
from kmax_deeplab.postprocessing.panoptic import merge
from kmax_deeplab.structures import MergeThresholds

THING, STUFF = 0, 1
IS_THING = torch.tensor([True, False])


def hold(probs, threshold):
    """Holders of (P, Q) probabilities, found in two blocks."""
    holders = Holders.nowhere(threshold, probs.shape[1], len(probs), probs.device)
    half = len(probs) // 2
    for block in (slice(half), slice(half, len(probs))):
        holders.fill(block, probs[block].clone(), threshold)
    return holders


def run(probs, classes, scores, **thresholds):
    """Merges queries whose class probability is `scores` for `classes`, 0 for all others."""
    thresholds = MergeThresholds(**{"thing": 0.5, "stuff": 0.3, **thresholds})
    probs = torch.tensor(probs, dtype=torch.float32)
    class_probs = torch.zeros(probs.shape[1], 2)
    class_probs[torch.arange(probs.shape[1]), torch.tensor(classes)] = torch.tensor(scores)
    ids, segments = merge(hold(probs, thresholds.pixel), class_probs, thresholds, IS_THING)
    return ids.tolist(), [(s["id"], s["isthing"], s["category_id"]) for s in segments]


def test_two_queries_share_four_pixels_and_the_more_confident_takes_the_contested_one():
    probs = [[0.875, 0.125], [0.5, 0.5], [0.125, 0.875], [0.4, 0.3]]
    ids, segments = run(probs, [THING, STUFF], [0.9, 0.9], overlap=0.4)
    # Both mask scores are (0.875 + 0.5) / 2, so the first query goes first.
    assert ids == [1, 1, 2, 0]
    assert segments == [(1, True, THING), (2, False, STUFF)]
    ids, segments = run(probs, [THING, STUFF], [0.8, 0.9], overlap=0.4)
    assert ids == [2, 1, 1, 0]
    assert segments == [(1, False, STUFF), (2, True, THING)]


def test_the_powers_decide_what_comes_first():
    probs = [[0.45, 0.55], [0.45, 0.55], [0.9, 0.1], [0.0, 0.5]]
    mask_first = {"class_power": 0.0, "mask_power": 1.0, "overlap": 0.1}
    class_first = {"class_power": 1.0, "mask_power": 0.0, "overlap": 0.1}
    assert run(probs, [THING, THING], [0.8, 0.9], **mask_first)[0] == [1, 1, 1, 2]
    assert run(probs, [THING, THING], [0.8, 0.9], **class_first)[0] == [1, 1, 2, 1]


def test_stuff_joins_the_segment_of_its_class_and_things_do_not():
    probs = torch.eye(4).tolist()
    ids, segments = run(probs, [STUFF, THING, STUFF, THING], [0.9, 0.8, 0.7, 0.6])
    assert ids == [1, 2, 1, 3]
    assert segments == [(1, False, STUFF), (2, True, THING), (3, True, THING)]


def test_thresholds_are_exclusive():
    probs = torch.eye(3).tolist()
    assert run(probs, [THING, STUFF, THING], [0.5, 0.25, 0.6], stuff=0.25)[0] == [0, 0, 1]
    assert run([[0.4], [0.41]], [THING], [0.9], pixel=0.4)[0] == [0, 1]


def test_a_query_needs_more_than_the_overlap_share_of_its_mask_free():
    probs = [[0.55, 0.45], [0.0, 0.9], [0.0, 0.9], [0.0, 0.9], [0.0, 0.9]]
    classes, scores = [THING, THING], [0.9, 0.5000001]
    order = {"class_power": 1.0, "mask_power": 0.0}
    assert run(probs, classes, scores, overlap=0.8, **order)[0] == [1, 0, 0, 0, 0]  # exactly 4 / 5
    assert run(probs, classes, scores, overlap=0.79, **order)[0] == [1, 2, 2, 2, 2]


def test_an_empty_mask_is_never_accepted_and_nobody_gives_all_void():
    assert run([[0.9, 0.1]], [THING, THING], [0.9, 0.9], overlap=-1.0)[1] == [(1, True, THING)]
    assert run([[0.3, 0.3]], [THING, THING], [0.9, 0.9]) == ([0], [])


def test_a_rejected_query_leaves_its_pixels_to_the_next():
    probs = [[0.5, 0.5], [0.5, 0.5]]
    assert run(probs, [THING, THING], [0.4, 0.9]) == ([1, 1], [(1, True, THING)])


def merge_with_full_masks(probs, class_probs, thresholds, is_thing):
    """The obvious version: one binary mask of the full image per query."""
    scores, labels = class_probs.max(1)
    masks = (probs > thresholds.pixel).T  # (Q, P)
    mask_scores = torch.stack(
        [probs[m, q].mean() if m.any() else torch.tensor(0.0) for q, m in enumerate(masks)]
    )
    rank = scores**thresholds.class_power * mask_scores**thresholds.mask_power
    ids, segments, stuff = torch.zeros(len(probs), dtype=torch.int32), [], {}
    for query in torch.argsort(rank, descending=True, stable=True).tolist():
        label, mask = int(labels[query]), masks[query]
        thing = bool(is_thing[label])
        free = mask & (ids == 0)
        if scores[query] <= (thresholds.thing if thing else thresholds.stuff) or not mask.any():
            continue
        if int(free.sum()) / int(mask.sum()) <= thresholds.overlap:
            continue
        if thing or label not in stuff:
            described = {"isthing": thing, "category_id": label, "query": query}
            score = pytest.approx(float(scores[query] * mask_scores[query]), rel=1e-5)
            segments.append({"id": len(segments) + 1, **described, "score": score})
            if not thing:
                stuff[label] = len(segments)
        ids[free] = len(segments) if thing else stuff[label]
    return ids, segments


@pytest.mark.parametrize("pixel", [0.0, 0.05, 0.2, 0.3, 0.4, 0.6, 1.0])
@pytest.mark.parametrize("overlap", [0.1, 0.6])
def test_lists_of_holders_merge_like_full_masks_at_any_threshold(pixel, overlap):
    generator = torch.Generator().manual_seed(round(100 * pixel))
    probs = (3 * torch.randn(300, 12, generator=generator)).softmax(1)
    class_probs = (4 * torch.randn(12, 7, generator=generator)).softmax(1)[:, :-1]
    is_thing = torch.arange(6) % 2 == 0
    thresholds = MergeThresholds(0.5, 0.3, pixel, overlap)
    ids, segments = merge(hold(probs, pixel), class_probs, thresholds, is_thing)
    expected, expected_segments = merge_with_full_masks(probs, class_probs, thresholds, is_thing)
    assert segments == expected_segments
    assert torch.equal(ids, expected)
