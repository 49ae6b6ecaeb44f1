"""Matching by hand and against exhaustive search."""

from itertools import permutations

import pytest
import torch

from kmax_deeplab.losses.matching import mask_similarity, match_segments
from kmax_deeplab.structures import Targets
from tests.losses.plain import no_truth, random_truth


def targets_of(segment_map: list[list[int]], classes: list[int]) -> Targets:
    layers = torch.tensor(segment_map)[:, None]  # (L, 1, P)
    return Targets(layers, torch.tensor(classes), layers[0])


def test_mask_similarity_is_the_dice_without_void_pixels():
    probs = torch.tensor([[0.9, 0.8, 0.3, 0.5], [0.1, 0.2, 0.7, 0.5]])
    dice = mask_similarity(probs, targets_of([[0, 0, 1, -1]], [0, 0]))
    want = [[1.7 / 2.0, 0.3 / 1.5], [0.3 / 1.5, 0.7 / 1.0]]
    torch.testing.assert_close(dice, torch.tensor(want), rtol=1e-4, atol=0)


def test_mask_similarity_takes_overlapping_masks_whole():
    probs = torch.tensor([[0.5, 0.5, 0.0]])
    dice = mask_similarity(probs, targets_of([[0, 0, -1], [-1, 1, 1]], [0, 0]))
    want = [[1.0 / 1.5, 0.5 / 1.5]]
    torch.testing.assert_close(dice, torch.tensor(want), rtol=1e-4, atol=0)


def test_the_class_can_outweigh_the_mask():
    probs = torch.tensor([[0.6, 0.6], [0.4, 0.4]])
    targets = targets_of([[0, 0]], [1])
    [by_mask] = match_segments(torch.zeros(1, 2, 3), [probs], [targets])
    logits = torch.tensor([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])
    [by_both] = match_segments(logits, [probs], [targets])
    assert (by_mask.queries.tolist(), by_both.queries.tolist()) == ([0], [1])
    torch.testing.assert_close(
        by_both.mask_similarity, torch.tensor([0.8 / 1.4]), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(by_both.class_similarity, logits.softmax(-1)[0, 1, 1:2])


@pytest.mark.parametrize(("queries", "segments"), [(4, 3), (3, 3), (2, 4)])
def test_the_assignment_is_the_best_of_all(queries, segments):
    targets = [random_truth((5, 5), segments=segments).targets() for _ in range(3)]
    logits = torch.randn(3, queries, 5)
    probs = [torch.randn(queries, 25).softmax(0) for _ in range(3)]
    matches = match_segments(logits, probs, targets)
    for match, class_logits, mask_probs, target in zip(
        matches, logits, probs, targets, strict=True
    ):
        score = mask_similarity(mask_probs, target) * class_logits.softmax(-1)[:, target.classes]
        wide = score if queries <= segments else score.t()
        choices = permutations(range(wide.shape[1]), len(wide))
        best = max(wide[range(len(wide)), list(choice)].sum() for choice in choices)
        torch.testing.assert_close((match.mask_similarity * match.class_similarity).sum(), best)
        assert len(set(match.queries.tolist())) == len(match.queries) == min(queries, segments)


def test_an_image_without_segments_matches_nothing():
    probs = torch.rand(2, 9)
    [match] = match_segments(torch.randn(1, 2, 4), [probs], [no_truth((3, 3)).targets()])
    assert match.queries.shape == match.segments.shape == match.mask_similarity.shape == (0,)
