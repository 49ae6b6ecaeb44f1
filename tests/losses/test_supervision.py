"""Padded targets and PQ-style weights of three queries and five pixels, by hand."""

import torch

from kmax_deeplab.losses.supervision import build_supervision
from kmax_deeplab.structures import VOID, BatchedTargets, Match, Supervision, Targets

PROBS = torch.tensor(
    [[0.1, 0.1, 0.1, 0.5, 0.2], [0.2, 0.2, 0.2, 0.2, 0.6], [0.7, 0.7, 0.7, 0.3, 0.2]]
)


def supervise(
    segment_map: list[list[int]], segments: list[int], queries: list[int], floor: float = 1e-5
) -> Supervision:
    """What the only image of a batch is compared with."""
    layers = torch.tensor(segment_map)[:, None]  # (L, 1, P)
    of_query, by_mask, by_class = torch.full((3,), VOID), torch.zeros(3), torch.zeros(3)
    of_query[queries] = torch.tensor(segments, dtype=torch.long)
    by_mask[queries] = torch.tensor([0.5, 0.25])[: len(queries)]
    by_class[queries] = torch.tensor([0.75, 0.125])[: len(queries)]
    listed = torch.tensor([queries or [0]])
    is_pair = torch.full(listed.shape, bool(queries))
    match = Match(of_query[None], listed, is_pair, by_mask[None], by_class[None])
    targets = BatchedTargets.of([Targets(layers, torch.tensor([4, 6, 1]), layers[0])])
    batch = build_supervision(PROBS[None], match, targets, classes=7, no_object_weight=floor)
    return Supervision(**{name: value[0] for name, value in vars(batch).items()})


def test_queries_replace_their_segments():
    supervision = supervise([[1, 1, 1, 0, VOID]], segments=[0, 1], queries=[0, 2])
    assert supervision.query_map.tolist() == [[2, 2, 2, 0, VOID]]
    assert supervision.coverage.tolist() == [1, 1, 1, 1, 0]
    assert supervision.class_target.tolist() == [4, 7, 6]
    torch.testing.assert_close(
        supervision.inverse_area, torch.tensor([5 / 3, 5 / 3, 5 / 3, 5.0, 5.0])
    )


def test_matched_queries_weigh_their_similarities_and_others_their_mass_on_void():
    supervision = supervise([[1, 1, 1, 0, VOID]], segments=[0, 1], queries=[0, 2])
    torch.testing.assert_close(
        supervision.class_weight, torch.tensor([0.5, 0.6 / 1.4, 0.25]), rtol=1e-4, atol=0
    )
    assert supervision.mask_weight.tolist() == [0.75, 0, 0.125]


def test_no_object_weight_is_a_floor_that_leaves_unmatched_masks_alone():
    supervision = supervise([[1, 1, 1, 0, VOID]], [0, 1], [0, 2], floor=0.45)
    torch.testing.assert_close(supervision.class_weight, torch.tensor([0.5, 0.45, 0.45]))
    torch.testing.assert_close(supervision.mask_weight, torch.tensor([0.75, 0.0, 0.45]))


def test_unmatched_segments_become_void():
    supervision = supervise([[1, 1, 2, 0, VOID]], segments=[1], queries=[1])
    assert supervision.query_map.tolist() == [[1, 1, VOID, VOID, VOID]]
    assert supervision.coverage.tolist() == [1, 1, 0, 0, 0]
    torch.testing.assert_close(
        supervision.class_weight[2], torch.tensor(1.2 / 2.6), rtol=1e-4, atol=0
    )


def test_overlapping_masks_share_a_pixel_and_its_area():
    supervision = supervise([[0, 0, 1, 1, VOID], [VOID, 1, VOID, VOID, VOID]], [0, 1], [0, 2])
    assert supervision.coverage.tolist() == [1, 2, 1, 1, 0]
    assert supervision.shares.tolist() == [[1, 0.5, 1, 1, 0], [0, 0.5, 0, 0, 0]]
    assert supervision.areas.tolist() == [1.5, 0, 2.5]
    torch.testing.assert_close(
        supervision.inverse_area, torch.tensor([5 / 1.5, 2.5, 2.0, 2.0, 5.0])
    )


def test_an_image_without_segments_is_all_void():
    supervision = supervise([[VOID] * 5], segments=[], queries=[])
    assert supervision.class_target.tolist() == [7, 7, 7]
    assert supervision.coverage.sum() == supervision.mask_weight.sum() == 0
    assert supervision.inverse_area.tolist() == [5] * 5
    torch.testing.assert_close(supervision.class_weight, torch.ones(3), rtol=1e-4, atol=0)
