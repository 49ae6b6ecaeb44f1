import torch

from kmax_deeplab.benchmark.synthetic import head_outputs, training_batch, training_targets
from kmax_deeplab.structures import VOID


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_targets_name_every_segment_and_agree_with_their_semantic_map():
    targets = training_targets(8, (97, 65), generator())
    assert targets.segment_map.shape == (1, 25, 17)
    segments = targets.segment_map.unique()
    assert segments.tolist() == [VOID, *range(len(targets.classes))]
    inside = targets.segment_map[0] != VOID
    assert (targets.semantic[~inside] == VOID).all()
    assert (targets.semantic[inside] == targets.classes[targets.segment_map[0][inside]]).all()


def test_a_batch_has_what_the_mapper_gives():
    (sample,) = training_batch(1, (65, 33), 4, generator())
    assert sample["image"].shape == (3, 65, 33)
    assert sample["image"].dtype == torch.uint8
    assert sample["is_real_pixels"].all()


def test_the_same_seed_gives_the_same_batch():
    first, second = (training_batch(2, (33, 33), 4, generator(3)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["targets"].segment_map, other["targets"].segment_map)


def test_head_outputs_are_confident_for_some_class_and_cover_the_grid():
    class_logits, mask_logits = head_outputs(30, 5, (17, 9), generator())
    assert class_logits.shape == (30, 6)
    assert mask_logits.shape == (30, 17, 9)
    assert (class_logits.softmax(1)[:, :5].amax(1) > 0.7).float().mean() > 0.6
    assert (mask_logits.softmax(0).amax(0) > 0.4).float().mean() > 0.5
