"""Images that occur twice, within a dataset and across two."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from kmax_deeplab.data.check.dataset_check import Source, check_dataset
from kmax_deeplab.data.check.duplicates import Twins, check_duplicates
from kmax_deeplab.data.check.fingerprints import Fingerprint, take_fingerprint
from kmax_deeplab.data.format.images import MODES, TURNS
from tests.own_data import OwnData


def scene(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture like no other: smooth blots, and some grain."""
    rng = np.random.default_rng(seed)
    blots = Image.fromarray(rng.integers(40, 200, (7, 9, 3), dtype=np.uint8))
    image = np.asarray(blots.resize(size, Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((image + rng.integers(-6, 7, image.shape)).clip(0, 255).astype(np.uint8))


def save_changed(image: Image.Image, path: Path) -> None:
    """Stores an image as a JPEG, somewhat smaller and brighter."""
    smaller = image.resize((86, 64), Image.Resampling.BICUBIC)
    ImageEnhance.Brightness(smaller).enhance(1.15).save(path, format="JPEG", quality=60)


@pytest.fixture
def splits(tmp_path):
    """Two datasets of four images, no two of them alike."""
    splits = [OwnData(tmp_path / "{set}" / name) for name in ("train", "val")]
    for position, data in enumerate(splits):
        for number in range(4):
            scene(10 * position + number).save(data.image_path(number))
    return splits


def duplicates(splits):
    reports = [check_dataset(Source(d.root.name, d.images, d.json, d.pngs)) for d in splits]
    return check_duplicates(reports)


def test_images_that_differ_are_no_duplicates(splits):
    assert duplicates(splits) == []


def test_an_image_of_the_other_split_is_found_though_smaller_brighter_and_stored_anew(splits):
    train, val = splits
    save_changed(scene(2), val.image_path(3))
    (found,) = duplicates(splits)
    assert (found.kind, found.file) == ("leaked-image", str(val.image_path(3)))
    assert found.beside == str(train.image_path(2))
    assert found.message == f"is nearly {train.image_path(2)} of train"


def test_the_same_picture_twice_in_a_split_is_a_note(splits):
    train = splits[0]
    scene(0).save(train.image_path(2), format="PNG")
    (found,) = duplicates(splits)
    assert (found.kind, found.file) == ("near-duplicate", str(train.image_path(2)))
    assert found.message == f"is the same picture as {train.image_path(0)}"


def test_a_dataset_that_is_given_twice_has_no_leak(splits):
    assert duplicates([splits[0], splits[0]]) == []


def test_images_without_content_resemble_nothing(splits):
    for data in splits:
        Image.new("RGB", (96, 72), (3, 3, 3)).save(data.image_path(0))
    assert duplicates(splits) == []


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_an_image_has_a_fingerprint(mode):
    assert take_fingerprint(scene(5).convert("P" if mode == "PA" else "RGB").convert(mode))


@pytest.mark.parametrize("orientation", TURNS)
def test_an_image_stored_turned_has_the_fingerprint_of_the_upright_one(orientation, tmp_path):
    turned = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene(1).transpose(TURNS[turned]).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        found, upright = take_fingerprint(image), take_fingerprint(scene(1))
    assert (found.bits ^ upright.bits).bit_count() <= 1


def test_fingerprints_that_differ_in_up_to_six_bits_are_always_compared():
    """Against the slow way: any bits, wherever they lie."""
    rng = np.random.default_rng(0)
    bits = [int(value) for value in rng.integers(0, 2**63, 200)]
    for differing in range(8):
        places = rng.choice(64, differing, replace=False).tolist()
        bits.append(bits[differing] ^ sum(1 << place for place in places))
    thumbnail = np.arange(-128, 128, dtype=np.int8).tobytes()
    twins = Twins([Fingerprint(value, thumbnail) for value in bits], np.zeros(208, int))
    assert twins.within[200:].tolist() == [0, 1, 2, 3, 4, 5, 6, -1]


def test_pictures_whose_bits_agree_by_chance_are_no_twins():
    rng = np.random.default_rng(0)
    thumbnails = rng.integers(-127, 128, (2, 256)).astype(np.int8)
    twins = Twins([Fingerprint(7, each.tobytes()) for each in thumbnails], np.array([0, 1]))
    assert twins.before.tolist() == [-1, -1]


def test_of_very_many_alike_each_has_a_twin():
    same = [Fingerprint(7, np.arange(-128, 128, dtype=np.int8).tobytes())] * 2000
    twins = Twins(same, np.arange(2000) // 1900)
    assert (twins.within >= 0).all()
    assert (twins.before[1900:] >= 0).all()
