import numpy as np
import pytest

from kmax_deeplab.data.copy_paste import choose_segments, copy_paste
from kmax_deeplab.data.labelled_image import LabelledImage, Segment
from kmax_deeplab.structures import VOID

SKY, SAND, CAT = Segment(0, False), Segment(1, False), Segment(2, True)


def labelled(segment_map, segments, brightness, is_real=True):
    segment_map = np.array(segment_map, dtype=np.int32)
    image = np.full((*segment_map.shape, 3), brightness, dtype=np.uint8)
    return LabelledImage(image, segment_map, segments, np.full(segment_map.shape, is_real))


def random_image(rng, brightness):
    segments = tuple(Segment(int(c), bool(c > 3)) for c in rng.permutation(7)[:5])
    segment_map = rng.integers(VOID, len(segments), (12, 12))
    image = labelled(segment_map, segments, brightness)
    image.is_real[:, 9:] = False
    return image


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


def test_a_thing_replaces_pixels_labels_and_real_flags_by_hand():
    main = labelled([[0, 0, 1], [0, 1, VOID]], (SKY, SAND), 10, is_real=False)
    donor = labelled([[VOID, 0, 0], [VOID, VOID, VOID]], (CAT,), 200)
    pasted = copy_paste(main, donor, np.random.default_rng(0))
    assert pasted.segments == (SKY, SAND, CAT)
    assert pasted.segment_map.tolist() == [[0, 2, 2], [0, 1, VOID]]
    assert pasted.image[..., 0].tolist() == [[10, 200, 200], [10, 10, 10]]
    assert pasted.is_real.tolist() == [[False, True, True], [False, False, False]]


def test_segments_covered_entirely_disappear():
    main = labelled([[0, 1], [1, 1]], (CAT, SKY), 0)
    donor = labelled([[0, VOID], [VOID, VOID]], (CAT,), 9)
    pasted = copy_paste(main, donor, np.random.default_rng(0))
    assert pasted.segments == (SKY, CAT)
    assert pasted.segment_map.tolist() == [[1, 0], [0, 0]]


def test_stuff_of_a_class_in_both_images_becomes_one_segment():
    main = labelled([[0, 0], [1, 1]], (SKY, SAND), 0)
    donor = labelled([[VOID, VOID], [VOID, 0]], (SKY,), 9)
    maps = {
        str(copy_paste(main, donor, np.random.default_rng(seed)).segment_map.tolist())
        for seed in range(20)
    }
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
    main, donor = random_image(rng, 50), random_image(rng, 150)
    chosen = np.flatnonzero(choose_segments(donor.segments, np.random.default_rng(seed)))
    image, is_real = main.image.copy(), main.is_real.copy()
    owner = np.full(main.segment_map.shape, "", dtype="<U20")
    for source, indices in ((main, range(len(main.segments))), (donor, chosen)):
        for index in indices:
            segment, mask = source.segments[index], source.segment_map == index
            which = f"{source.image[0, 0, 0]}.{index}" if segment.is_thing else "stuff"
            owner[mask] = f"{segment.category}/{which}"
            image[mask], is_real[mask] = source.image[mask], source.is_real[mask]
    pasted = copy_paste(main, donor, np.random.default_rng(seed))
    assert {
        (segment.category, tuple(np.flatnonzero(pasted.segment_map == index)))
        for index, segment in enumerate(pasted.segments)
    } == pixels_by_owner(owner)
    assert (pasted.image == image).all() and (pasted.is_real == is_real).all()


def test_inputs_stay_untouched_and_sizes_must_agree():
    rng = np.random.default_rng(0)
    main, donor = random_image(rng, 50), random_image(rng, 150)
    before = main.segment_map.copy()
    copy_paste(main, donor, rng)
    assert (main.segment_map == before).all() and (main.image == 50).all()
    with pytest.raises(ValueError, match="pad both first"):
        copy_paste(main, donor.padded(13, 12), rng)
