from dataclasses import replace

import numpy as np
import pytest

from kmax_deeplab.data.samples.copy_paste import choose_segments, copy_paste, without_paste
from kmax_deeplab.data.samples.segments import Segment
from kmax_deeplab.data.samples.targets import STRIDE
from kmax_deeplab.data.samples.view import LabelledView
from kmax_deeplab.structures import VOID

SKY, SAND, CAT = Segment(0, False), Segment(1, False), Segment(2, True)


def seen(segment_map, segments, brightness):
    """A view in which each label pixel shows as 4 × 4 pixels, so that none is off the grid."""
    source_map = np.array(segment_map, dtype=np.int32)
    rows, columns = (np.arange(side).repeat(STRIDE) for side in source_map.shape)
    image = np.full((len(rows), len(columns), 3), brightness, dtype=np.uint8)
    return LabelledView(image, source_map, segments, rows, columns)


def random_view(rng, brightness, shape=(12, 12)):
    segments = tuple(Segment(int(c), bool(c > 3)) for c in rng.permutation(7)[:5])
    return seen(rng.integers(VOID, len(segments), shape), segments, brightness)


def size_of(*views):
    return tuple(max(view.image.shape[axis] for view in views) for axis in (0, 1))


def pastes(segments, seed):
    return choose_segments(segments, np.random.default_rng(seed)).tolist()


def test_all_things_are_pasted_and_nothing_else_when_the_number_is_zero():
    choices = {tuple(pastes((SKY, CAT, SAND, CAT), seed)) for seed in range(100)}
    things_only = (False, True, False, True)
    assert things_only in choices
    assert all(choice[1] and choice[3] for choice in choices)
    assert (True, True, True, True) in choices


def test_the_number_of_pasted_segments_is_uniform_from_zero_to_all():
    stuff = tuple(Segment(category, False) for category in range(3))
    rng = np.random.default_rng(0)
    numbers = [choose_segments(stuff, rng).sum() for _ in range(4000)]
    shares = np.bincount(numbers, minlength=4) / len(numbers)
    np.testing.assert_allclose(shares, 0.25, atol=0.03)


def paste(main, donor, seed=0, size=None):
    return copy_paste(main, donor, size or size_of(main, donor), np.random.default_rng(seed))


def test_without_pasting_an_image_is_padded():
    alone = without_paste(seen([[0, 0], [VOID, 1]], (SKY, SAND), 10), (12, 12))
    assert alone.segments == (SKY, SAND)
    assert alone.grid_map.tolist() == [[0, 0, VOID], [VOID, 1, VOID], [VOID, VOID, VOID]]
    assert alone.image[..., 0].sum() == 10 * 64
    assert alone.is_real.sum() == 64


def test_a_thing_replaces_pixels_labels_and_real_flags_by_hand():
    main = seen([[0, 0], [0, 1]], (SKY, SAND), 10)
    donor = seen([[VOID, 0, 0], [VOID, VOID, VOID]], (CAT,), 200)
    pasted = paste(main, donor)
    assert pasted.segments == (SKY, SAND, CAT)
    assert pasted.grid_map.tolist() == [[0, 2, 2], [0, 1, VOID]]
    assert pasted.image[::4, ::4, 0].tolist() == [[10, 200, 200], [10, 10, 0]]
    assert pasted.is_real[::4, ::4].tolist() == [[True, True, True], [True, True, False]]


def test_padding_is_black_void_and_not_real():
    main, donor = seen([[0, 0]], (SKY,), 10), seen([[VOID, 0]], (CAT,), 200)
    pasted = paste(main, donor, size=(9, 10))
    inside = np.zeros((9, 10), bool)
    inside[:4, :8] = True
    assert (pasted.is_real == inside).all()
    assert (pasted.image[~inside] == 0).all() and (pasted.image[inside] > 0).all()
    assert pasted.grid_map.tolist() == [[0, 1, VOID], [VOID] * 3, [VOID] * 3]


def test_segments_covered_entirely_disappear():
    main = seen([[0, 1], [1, 1]], (CAT, SKY), 0)
    donor = seen([[0, VOID], [VOID, VOID]], (CAT,), 9)
    pasted = paste(main, donor)
    assert pasted.segments == (SKY, CAT)
    assert pasted.grid_map.tolist() == [[1, 0], [0, 0]]


def test_segments_between_the_pixels_of_the_grid_are_dropped_but_pasted():
    main = seen([[0, 0]], (SKY,), 10)
    source_map = np.array([[VOID, 0, VOID, VOID, 1, 1]], dtype=np.int32)
    image = np.full((1, 6, 3), 200, dtype=np.uint8)
    donor = LabelledView(image, source_map, (CAT, CAT), np.arange(1), np.arange(6))
    pasted = paste(main, donor)
    assert pasted.segments == (SKY, CAT)
    assert pasted.grid_map.tolist() == [[0, 1]]
    assert pasted.image[0, :, 0].tolist() == [10, 200, 10, 10, 200, 200, 10, 10]


def test_stuff_of_a_class_in_both_images_becomes_one_segment():
    main = seen([[0, 0], [1, 1]], (SKY, SAND), 0)
    donor = seen([[VOID, VOID], [VOID, 0]], (SKY,), 9)
    maps = {str(paste(main, donor, seed).grid_map.tolist()) for seed in range(20)}
    assert maps == {"[[0, 0], [1, 1]]", "[[0, 0], [1, 0]]"}


def pixels_by_owner(owner):
    """Maps (category, pixels) of every segment in an array of "category/which" strings."""
    return {
        (int(name.split("/")[0]), tuple(np.flatnonzero(owner == name)))
        for name in np.unique(owner)
        if name
    }


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_pasting_segment_by_segment(seed):
    rng = np.random.default_rng(seed)
    main = random_view(rng, 50, rng.integers(1, 13, 2))
    donor = random_view(rng, 150, rng.integers(1, 13, 2))
    chosen = np.flatnonzero(choose_segments(donor.segments, np.random.default_rng(seed)))
    image, is_real = np.zeros((48, 48), np.uint8), np.zeros((48, 48), bool)
    image[: main.image.shape[0], : main.image.shape[1]] = 50
    is_real[: main.image.shape[0], : main.image.shape[1]] = True
    owner = np.full((48, 48), "", dtype="<U20")
    for view, indices in ((main, range(len(main.segments))), (donor, chosen)):
        segment_map = np.full((48, 48), VOID)
        segment_map[: view.image.shape[0], : view.image.shape[1]] = view.resize(view.source_map)
        for index in indices:
            segment, mask = view.segments[index], segment_map == index
            which = f"{view.image[0, 0, 0]}.{index}" if segment.is_thing else "stuff"
            owner[mask] = f"{segment.category}/{which}"
            image[mask], is_real[mask] = view.image[0, 0, 0], True
    pasted = paste(main, donor, seed, (48, 48))
    assert {
        (segment.category, tuple(np.flatnonzero(pasted.grid_map == index)))
        for index, segment in enumerate(pasted.segments)
    } == pixels_by_owner(owner[::4, ::4])
    assert (pasted.image == image[..., None]).all() and (pasted.is_real == is_real).all()


def test_a_donor_given_backwards_in_memory_is_pasted_alike():
    rng = np.random.default_rng(0)
    main, donor = random_view(rng, 50), random_view(rng, 150)
    donor.image[:] = rng.integers(0, 256, donor.image.shape)
    backwards = replace(donor, image=donor.image[:, ::-1].copy()[:, ::-1])
    assert (paste(main, backwards).image == paste(main, donor).image).all()


def test_inputs_stay_untouched_and_must_fit():
    rng = np.random.default_rng(0)
    main, donor = random_view(rng, 50), random_view(rng, 150)
    before = main.source_map.copy()
    paste(main, donor)
    assert (main.source_map == before).all() and (main.image == 50).all()
    with pytest.raises(ValueError, match=r"\(48, 48\) pixels do not fit into \(48, 47\)"):
        paste(main, donor, size=(48, 47))
