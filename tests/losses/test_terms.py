"""Each loss of two queries and four pixels, with numbers that can be checked on paper."""

from math import log

import pytest
import torch

from kmax_deeplab.losses.supervision import sum_by_query
from kmax_deeplab.losses.terms import class_loss, mask_losses, mean_over_nonzero, semantic_loss
from kmax_deeplab.structures import VOID, Supervision

GRID = (2, 2)
MASK_PROBS = torch.tensor([[0.5, 0.8, 0.2, 0.9], [0.5, 0.2, 0.8, 0.1]])
MASK_LOGITS = MASK_PROBS.log().view(2, 2, 2)

SEEDS = torch.tensor([0])


def supervision_of(
    query_map: list[list[int]], mask_weight: tuple[float, float] = (0.5, 0.25)
) -> Supervision:
    """A batch of one image whose queries are both matched."""
    owners = torch.tensor(query_map)[None]  # (1, L, P)
    coverage = (owners >= 0).sum(1).float()
    shares = (owners >= 0) / coverage.clamp(min=1)[:, None]
    return Supervision(
        query_map=owners,
        coverage=coverage,
        shares=shares,
        areas=sum_by_query(shares, owners, 2),
        inverse_area=torch.ones(1, 4),
        class_target=torch.tensor([[1, 2]]),
        class_weight=torch.tensor([[0.5, 0.25]]),
        mask_weight=torch.tensor([mask_weight]),
        queries=torch.tensor([[0, 1]]),
        is_pair=torch.tensor([[True, True]]),
    )


def losses_of(logits: torch.Tensor, *arguments: object, **options: bool) -> list[torch.Tensor]:
    """The losses of the masks (Q, h, w) of one prediction of one image."""
    return [loss[0, 0] for loss in mask_losses([logits[None, None]], *arguments, **options)]


def test_zero_entries_do_not_dilute_a_mean():
    assert mean_over_nonzero(torch.tensor([0.0, 3.0, 0.0, 5.0])) == 4
    assert mean_over_nonzero(torch.zeros(3)) == 0


def test_class_loss_weighs_classes_by_three_quarters_and_void_by_one():
    logits = torch.tensor([[0.25, 0.5, 0.25], [0.1, 0.1, 0.8]]).log()
    want = (0.75 * 0.5 * log(2) + 0.25 * 0.25 * log(1 / 0.8)) / 2
    torch.testing.assert_close(
        class_loss(logits[None, None], supervision_of([[0, 0, 1, VOID]]))[0, 0], torch.tensor(want)
    )


def test_mask_loss_is_the_mean_over_labelled_pixels():
    loss, _ = losses_of(MASK_LOGITS, supervision_of([[0, 0, 1, VOID]]), GRID)
    torch.testing.assert_close(loss, torch.tensor(-(log(0.5) + log(0.8) + log(0.8)) / 3))


def test_mask_loss_of_an_overlap_is_the_mean_of_its_queries():
    loss, _ = losses_of(
        MASK_LOGITS, supervision_of([[0, VOID, VOID, 0], [VOID, VOID, VOID, 1]]), GRID
    )
    torch.testing.assert_close(loss, torch.tensor(-(log(0.5) + (log(0.9) + log(0.1)) / 2) / 2))


@pytest.mark.parametrize(("masking", "void"), [(True, (0.0, 0.0)), (False, (0.9, 0.1))])
def test_dice_loss_counts_void_probabilities_only_if_told(masking, void):
    supervision = supervision_of([[0, 0, 1, VOID]])
    _, loss = losses_of(MASK_LOGITS, supervision, GRID, masking_void=masking)
    first = 1 - (2 * 1.3 + 1) / (1.5 + void[0] + 2 + 1)
    second = 1 - (2 * 0.8 + 1) / (1.5 + void[1] + 1 + 1)
    want = (0.5 * first + 0.25 * second) * 0.75 / 2
    torch.testing.assert_close(loss, torch.tensor(want))


def test_void_pixels_change_no_mask_loss():
    supervision = supervision_of([[0, 0, 1, VOID]])
    changed = MASK_LOGITS.clone()
    changed[:, 1, 1] = torch.tensor([-3.0, 4.0])
    torch.testing.assert_close(
        losses_of(changed, supervision, GRID), losses_of(MASK_LOGITS, supervision, GRID)
    )


def test_unmatched_queries_have_no_dice_loss():
    supervision = supervision_of([[0, 0, VOID, VOID]], mask_weight=(1.0, 0.0))
    _, loss = losses_of(MASK_LOGITS, supervision, GRID)
    want = (1 - (2 * 1.3 + 1) / (1.3 + 2 + 1)) * 0.75 / 2
    torch.testing.assert_close(loss, torch.tensor(want))


@pytest.mark.parametrize("samples", [0, 3])
def test_unlabelled_pixels_have_no_semantic_loss(samples):
    logits = torch.tensor([[0.5, 0.2, 0.7, 0.9], [0.5, 0.8, 0.3, 0.1]]).log().view(2, 2, 2)
    semantic = torch.tensor([[1, 0], [VOID, 1]])
    supervision = supervision_of([[0, 0, VOID, 1]])  # three samples: the labelled pixels
    [loss] = semantic_loss(
        logits[None], semantic[None], supervision, samples=samples, temperature=1.0, seeds=SEEDS
    )
    torch.testing.assert_close(loss, torch.tensor(-(log(0.5) + log(0.2) + log(0.1)) / 3))


def test_void_pixels_may_be_labelled_semantically():
    logits = torch.tensor([[0.5, 0.2, 0.7, 0.9], [0.5, 0.8, 0.3, 0.1]]).log().view(2, 2, 2)
    semantic = torch.tensor([[1, 0], [0, 1]])
    supervision = supervision_of([[0, 0, VOID, 1]])
    [loss] = semantic_loss(
        logits[None], semantic[None], supervision, samples=0, temperature=1.0, seeds=SEEDS
    )
    want = -(log(0.5) + log(0.2) + log(0.7) + log(0.1)) / 4
    torch.testing.assert_close(loss, torch.tensor(want))


def test_semantic_logits_without_an_integer_stride_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 7\) pixels do not match targets of \(9, 9\)"):
        semantic_loss(
            torch.zeros(1, 2, 4, 7),
            torch.zeros(1, 9, 9).long(),
            supervision_of([[0, 0, VOID, 1]]),
            samples=0,
            temperature=1.0,
            seeds=SEEDS,
        )
