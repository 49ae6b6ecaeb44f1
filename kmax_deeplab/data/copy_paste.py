"""Panoptic copy-paste: segments of a second image replace what lies below them.

What enters: two labelled images of one size and a random generator. What leaves: one labelled image
(section "Data", step 4).
"""

from collections.abc import Sequence

import numpy as np

from kmax_deeplab.data.labelled_image import LabelledImage, Segment, tidy


def choose_segments(segments: Sequence[Segment], rng: np.random.Generator) -> np.ndarray:
    """Draws which of M segments to paste: all things and, of all, a random number.

    Returns:
        (M,) bool.
    """
    order = rng.permutation(len(segments))
    count = rng.integers(len(segments) + 1)
    is_chosen = np.array([segment.is_thing for segment in segments], dtype=bool)
    is_chosen[order[:count]] = True
    return is_chosen


def copy_paste(
    main: LabelledImage, donor: LabelledImage, rng: np.random.Generator
) -> LabelledImage:
    """Pastes chosen segments of the donor, with pixels, labels and real-pixel flags.

    What is unlabelled in the donor stays out. Stuff of a class that both images have becomes one
    segment; segments covered entirely are gone.

    Raises:
        ValueError: the images differ in size.
    """
    if main.image.shape != donor.image.shape:
        raise ValueError(f"cannot paste {donor.image.shape} on {main.image.shape}: pad both first")
    is_chosen = choose_segments(donor.segments, rng)
    pasted = np.append(is_chosen, False)[donor.segment_map]  # (H, W); the last entry serves VOID
    # Behind the main image's segments, the donor's indices collide with none.
    donor_map = donor.segment_map + np.int32(len(main.segments))
    segment_map, segments = tidy(
        np.where(pasted, donor_map, main.segment_map), main.segments + donor.segments
    )
    return LabelledImage(
        np.where(pasted[..., None], donor.image, main.image),
        segment_map,
        segments,
        np.where(pasted, donor.is_real, main.is_real),
    )
