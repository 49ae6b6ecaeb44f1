import cv2
import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.format import images as image_files
from kmax_deeplab.data.format.images import (
    HugeImageError,
    UnusableImageError,
    require_usable,
    upright_size,
)


def refuse(path):
    with Image.open(path) as image:
        require_usable(image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_images_of_8_bits_are_looked_at(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new(mode, (5, 4)).save(path)
    refuse(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_a_channel_are_refused_and_not_cut_off(tmp_path, suffix, channels):
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), np.full((4, 5, channels), 4095, np.uint16))
    with pytest.raises(UnusableImageError, match="8 bits a channel"):
        refuse(path)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_floats_and_32_bits_are_refused(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new(mode, (5, 4)).save(path)
    with pytest.raises(UnusableImageError, match=f"mode {mode}"):
        refuse(path)


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".png"])
def test_a_file_of_several_pictures_is_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    pictures = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    with pytest.raises(UnusableImageError, match="holds 3 pictures"):
        refuse(path)


def test_an_image_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", (5, 4)).save(path)
    monkeypatch.setattr(image_files, "MAX_PIXELS", 19)
    with pytest.raises(HugeImageError, match="has 5 × 4 pixels"):
        refuse(path)
    monkeypatch.setattr(image_files, "MAX_PIXELS", 20)
    refuse(path)


@pytest.mark.parametrize(("orientation", "size"), [(1, (4, 6)), (3, (4, 6)), (6, (6, 4))])
def test_the_upright_size_follows_exif(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        assert upright_size(image) == size
