import random

import numpy as np
import pytest
from detectron2.data import transforms as T
from detectron2.projects.point_rend import ColorAugSSDTransform
from PIL import Image

from kmax_deeplab.d2.data.augmentations import ColorJitter, build_augmentations


def noise(seed, size=(40, 50)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_the_colour_jitter_gives_the_bytes_of_detectron2_and_draws_as_often():
    ours, theirs = ColorJitter(), ColorAugSSDTransform("RGB")
    for seed in range(150):
        image = noise(seed)
        random.seed(seed)
        want, state = theirs.apply_image(image.copy()), random.getstate()
        random.seed(seed)
        assert (ours.apply_image(image) == want).all()
        assert random.getstate() == state
        assert (image == noise(seed)).all()


@pytest.mark.parametrize("flip", ["horizontal", "vertical"])
def test_a_view_shows_what_detectron2_would(flip):
    image, target = noise(0, (60, 90)), (65, 97)
    augmentations = build_augmentations(target, (0.3, 2.0), "fit", flip)
    plain = T.AugmentationList(
        [
            T.ResizeScale(0.3, 2.0, *target),
            T.RandomCrop("absolute", target),
            T.RandomFlip(horizontal=flip == "horizontal", vertical=flip == "vertical"),
        ]
    )
    for seed in range(60):
        np.random.seed(seed)
        sample = T.AugInput(image)
        plain(sample)
        np.random.seed(seed)
        view = augmentations.draw_view((60, 90))
        difference = np.abs(view.crop(Image.fromarray(image)) - sample.image.astype(int))
        assert difference.max() <= 2
        if (view.height, view.width) == view.resized:
            assert difference.max() == 0


def test_both_flips_show_four_views():
    augmentations = build_augmentations((20, 20), (1.0, 1.0), "fit", "both")
    views = [augmentations.draw_view((20, 20)) for _ in range(100)]
    assert len({(view.is_mirrored, view.is_upside_down) for view in views}) == 4


def test_a_scale_of_pixels_does_not_depend_on_the_size_of_the_image():
    augmentations = build_augmentations((65, 65), (1.5, 2.5), "pixels", "none")
    for size in [(40, 50), (400, 700)]:
        views = [augmentations.draw_view(size) for _ in range(100)]
        factors = [view.resized[0] / size[0] for view in views]
        assert 1.45 < min(factors) < 1.6
        assert 2.4 < max(factors) < 2.55
        assert all((view.height, view.width) <= (65, 65) for view in views)
