import io

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.samples.segments import Segment, compact
from kmax_deeplab.data.samples.view import View, crop_labels, nearest
from kmax_deeplab.structures import VOID


def random_view(rng):
    source = tuple(rng.integers(3, 120, 2).tolist())
    resized = tuple(max(1, round(side * rng.uniform(0.2, 4))) for side in source)
    height, width = (int(rng.integers(1, side + 1)) for side in resized)
    top, left = (
        int(rng.integers(side - length + 1))
        for side, length in zip(resized, (height, width), strict=True)
    )
    return View(source, resized, top, left, height, width, *(rng.random(2) < 0.5).tolist())


def random_photo(rng, size):
    return Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))


def smooth_photo(rng, size):
    """A photo without detail of single pixels, which is the most that a reduced JPEG loses."""
    coarse = random_photo(rng, (size[0] // 12, size[1] // 12))
    return coarse.resize(size[::-1], Image.Resampling.BICUBIC)


def as_jpeg(image):
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=95)
    file.seek(0)
    return Image.open(file)


def plainly(view, image, how):
    """Resizes all of an image, then crops and flips it."""
    whole = np.asarray(image.resize(view.resized[::-1], how))
    window = whole[view.top : view.top + view.height, view.left : view.left + view.width]
    return window[:: -1 if view.is_upside_down else 1, :: -1 if view.is_mirrored else 1]


@pytest.mark.parametrize("seed", range(40))
def test_a_window_equals_resizing_all_and_cropping_but_for_rounding(seed):
    rng = np.random.default_rng(seed)
    view = random_view(rng)
    image = random_photo(rng, view.source)
    want = plainly(view, image, Image.Resampling.BILINEAR).astype(int)
    difference = np.abs(view.crop(image) - want)
    assert difference.max() <= 2
    assert difference.mean() < 0.5 and (difference == 2).mean() < 0.01


@pytest.mark.parametrize("seed", range(10))
def test_a_view_of_the_whole_image_equals_resizing_it_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    drawn = random_view(rng)
    view = View(drawn.source, drawn.resized, 0, 0, *drawn.resized, is_mirrored=drawn.is_mirrored)
    image = random_photo(rng, view.source)
    assert (view.crop(image) == plainly(view, image, Image.Resampling.BILINEAR)).all()


def test_rows_and_columns_are_those_of_pil_for_every_pair_of_sizes_up_to_70():
    for source in range(1, 71):
        ramp = Image.fromarray(np.arange(source, dtype=np.uint8).repeat(3).reshape(1, -1, 3))
        tower = Image.fromarray(np.arange(source, dtype=np.uint8).repeat(3).reshape(-1, 1, 3))
        for resized in range(1, 71):
            want = nearest(source, resized)
            across = ramp.resize((resized, 1), Image.Resampling.NEAREST)
            down = tower.resize((1, resized), Image.Resampling.NEAREST)
            assert (np.asarray(across)[0, :, 0] == want).all()
            assert (np.asarray(down)[:, 0, 0] == want).all()


@pytest.mark.parametrize("seed", range(40))
def test_labels_equal_resizing_and_cropping_the_whole_map_to_the_last_pixel(seed):
    rng = np.random.default_rng(seed)
    view = random_view(rng)
    segments = tuple(Segment(int(rng.integers(4)), bool(rng.integers(2))) for _ in range(9))
    segment_map = rng.integers(VOID, 9, view.source).astype(np.int32)
    coded = Image.fromarray((segment_map + 1).astype(np.uint8)[..., None].repeat(3, axis=2))
    resized = plainly(view, coded, Image.Resampling.NEAREST)[..., 0].astype(np.int32) - 1
    want, seen = compact(resized, segments)
    labelled = crop_labels(view, view.crop(random_photo(rng, view.source)), segment_map, segments)
    assert labelled.segments == seen
    assert (labelled.resize(labelled.source_map) == want).all()
    assert (labelled.resize(labelled.source_map, 4) == want[::4, ::4]).all()


@pytest.mark.parametrize(
    ("needed", "decoded"),
    [
        ((241, 320), (480, 640)),
        ((240, 320), (240, 320)),
        ((61, 80), (120, 160)),
        ((3, 4), (60, 80)),
    ],
)
def test_a_jpeg_is_decoded_as_small_as_is_still_enough(monkeypatch, needed, decoded):
    sizes = []
    resize = View.resize

    def spy(view, image, extent):
        sizes.append(image.size[::-1])
        return resize(view, image, extent)

    monkeypatch.setattr(View, "resize", spy)
    jpeg = as_jpeg(smooth_photo(np.random.default_rng(0), (480, 640)))
    assert View((480, 640), needed, 0, 0, *needed).crop(jpeg).shape == (*needed, 3)
    assert sizes == [decoded]


@pytest.mark.parametrize("seed", range(20))
def test_a_jpeg_decoded_small_shows_nearly_the_same_at_the_same_place(seed):
    rng = np.random.default_rng(seed)
    source = tuple(rng.integers(200, 400, 2).tolist())  # hardly ever a multiple of 8
    resized = tuple(round(side * rng.uniform(0.1, 0.5)) for side in source)
    view = View(source, resized, 3, 5, resized[0] - 7, resized[1] - 9, is_mirrored=True)
    jpeg = as_jpeg(smooth_photo(rng, source))
    want = plainly(view, jpeg.copy(), Image.Resampling.BILINEAR).astype(int)
    difference = np.abs(view.crop(jpeg) - want)
    assert difference.mean() < 2.5
    moved = np.abs(want[:, 1:] - want[:, :-1]).mean()
    assert difference.mean() < moved / 8  # a shift by a pixel would show as much as `moved`


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_images_of_every_mode_become_rgb(mode):
    image = smooth_photo(np.random.default_rng(0), (48, 60)).convert(mode)
    view = View((48, 60), (96, 120), 10, 20, 50, 60)
    want = plainly(view, image.convert("RGB"), Image.Resampling.BILINEAR).astype(int)
    assert np.abs(view.crop(image) - want).max() <= 2


def test_an_image_of_another_size_is_refused():
    view = View((48, 60), (96, 120), 0, 0, 96, 120)
    with pytest.raises(ValueError, match=r"\(48, 60\) pixels cannot cut \(60, 48\)"):
        view.crop(Image.new("RGB", (48, 60)))
