"""Matching by hand and against exhaustive search."""

from itertools import permutations

import pytest
import torch

from kmax_deeplab.losses.matching import mask_similarity, match_segments
from kmax_deeplab.structures import VOID, BatchedTargets, Targets
from tests.losses.plain import no_truth, random_truth


def targets_of(segment_map: list[list[int]], classes: list[int]) -> BatchedTargets:
    layers = torch.tensor(segment_map)[:, None]  # (L, 1, P)
    return BatchedTargets.of([Targets(layers, torch.tensor(classes), layers[0])])


def test_mask_similarity_is_the_dice_without_void_pixels():
    probs = torch.tensor([[0.9, 0.8, 0.3, 0.5], [0.1, 0.2, 0.7, 0.5]])
    dice = mask_similarity(probs[None], targets_of([[0, 0, 1, -1]], [0, 0]))[0]
    want = [[1.7 / 2.0, 0.3 / 1.5], [0.3 / 1.5, 0.7 / 1.0]]
    torch.testing.assert_close(dice, torch.tensor(want), rtol=1e-4, atol=0)


def test_mask_similarity_takes_overlapping_masks_whole():
    probs = torch.tensor([[0.5, 0.5, 0.0]])
    dice = mask_similarity(probs[None], targets_of([[0, 0, -1], [-1, 1, 1]], [0, 0]))[0]
    want = [[1.0 / 1.5, 0.5 / 1.5]]
    torch.testing.assert_close(dice, torch.tensor(want), rtol=1e-4, atol=0)


def test_the_class_can_outweigh_the_mask():
    probs = torch.tensor([[0.6, 0.6], [0.4, 0.4]])
    targets = targets_of([[0, 0]], [1])
    by_mask = match_segments(torch.zeros(1, 2, 3), probs[None], targets)
    logits = torch.tensor([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])
    by_both = match_segments(logits, probs[None], targets)
    assert (by_mask.segments.tolist(), by_both.segments.tolist()) == ([[0, VOID]], [[VOID, 0]])
    assert (by_mask.queries.tolist(), by_both.queries.tolist()) == ([[0]], [[1]])
    torch.testing.assert_close(
        by_both.mask_similarity[0, 1], torch.tensor(0.8 / 1.4), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(by_both.class_similarity[0, 1], logits.softmax(-1)[0, 1, 1])


@pytest.mark.parametrize(("queries", "segments"), [(4, 3), (3, 3), (2, 4)])
def test_the_assignment_is_the_best_of_all(queries, segments):
    targets = [random_truth((5, 5), segments=m).targets() for m in (segments, 1, segments)]
    batch = BatchedTargets.of(targets)
    logits, probs = torch.randn(3, queries, 5), torch.randn(3, queries, 25).softmax(1)
    match = match_segments(logits, probs, batch)
    similarity = mask_similarity(probs, batch)
    for image, target in enumerate(targets):
        own = similarity[image, :, : len(target.classes)]
        score = own * logits[image].softmax(-1)[:, target.classes]
        wide = score if queries <= score.shape[1] else score.t()
        choices = permutations(range(wide.shape[1]), len(wide))
        best = max(wide[range(len(wide)), list(choice)].sum() for choice in choices)
        matched = match.segments[image] >= 0
        found = (match.mask_similarity * match.class_similarity)[image][matched].sum()
        torch.testing.assert_close(found, best)
        assert len(set(match.segments[image][matched].tolist())) == int(matched.sum()) == len(wide)
        pairs = match.queries[image][match.is_pair[image]]
        assert sorted(pairs.tolist()) == matched.nonzero().flatten().tolist()


def test_an_image_without_segments_matches_nothing():
    batch = BatchedTargets.of([no_truth((3, 3)).targets()])
    match = match_segments(torch.randn(1, 2, 4), torch.rand(1, 2, 9), batch)
    assert match.segments.tolist() == [[VOID, VOID]] and not match.is_pair.any()
