import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.data.format import zip_members
from kmax_deeplab.data.format.images import find_files
from kmax_deeplab.data.format.pngs import read_ids, write_ids
from kmax_deeplab.data.format.zip_members import ZipError
from kmax_deeplab.data.format.zips import (
    choose_folder,
    is_file,
    is_folder,
    list_files,
    open_file,
    stored_in,
)
from kmax_deeplab.data.samples.reading import UnreadableImageError, read_image
from tests.packed import pack, spoil, truncate_archive

METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}


def read(path):
    with open_file(path) as file:
        return file.read()


@pytest.fixture
def folder(tmp_path):
    """A folder of three files, one below another folder, one empty."""
    folder = tmp_path / "photos"
    (folder / "in").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(bytes(range(256)) * 40)
    (folder / "in/b.JPG").write_bytes(b"b")
    (folder / "in/empty").touch()
    return folder


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_lies_in_a_zip_has_the_bytes_of_the_folder(folder, method):
    packed = pack(folder, method)
    for name in ("a.jpg", "in/b.JPG", "in/empty"):
        assert read(packed / name) == read(folder / name)
        assert is_file(packed / name) and is_file(str(packed / name))
    assert read(packed / "in/../in//b.JPG") == b"b"
    assert stored_in(packed / "a.jpg") == packed.parent
    assert stored_in(folder / "a.jpg") == folder / "a.jpg"


def test_a_zip_and_the_folders_in_it_are_searched_like_folders(folder):
    packed = pack(folder)
    archive = packed.parent
    there = (archive, packed, packed / "in")
    assert all(map(is_folder, there)) and not any(map(is_folder, (packed / "i", packed / "a.jpg")))
    assert not any(map(is_file, (packed, packed / "in", packed / "c.jpg"))) and is_file(archive)
    assert list_files(folder) is None and len(list_files(archive)) == 3
    assert list(find_files([packed], {".jpg"})) == [packed / "a.jpg", packed / "in/b.JPG"]
    assert list(find_files([packed / "in"], {".jpg"})) == [packed / "in/b.JPG"]


def test_a_folder_may_be_called_like_a_zip(tmp_path):
    (tmp_path / "old.zip.d/x.zip").mkdir(parents=True)
    path = tmp_path / "old.zip.d/x.zip/a"
    path.write_bytes(b"a")
    assert read(path) == b"a" and is_file(path) and is_folder(path.parent)
    assert list_files(path.parent) is None
    assert not is_folder(tmp_path / "missing.zip/x")


def test_an_archive_that_was_replaced_is_read_anew(folder):
    packed = pack(folder)
    assert read(packed / "in/b.JPG") == b"b"
    (folder / "in/b.JPG").write_bytes(b"new")
    pack(folder)
    assert read(packed / "in/b.JPG") == b"new"


def test_the_folder_is_taken_where_it_is_and_the_archive_where_it_is_not(folder, tmp_path):
    packed = pack(folder)
    places = [tmp_path / "missing.zip", packed.parent]
    assert choose_folder(folder, places, "photos") == folder
    assert choose_folder(tmp_path / "gone", places, "photos") == packed
    assert choose_folder(tmp_path / "gone", places[:1], "photos") == tmp_path / "gone"


def test_a_missing_member_is_named_with_its_archive_and_what_to_do(folder):
    packed = pack(folder)
    match = rf"{packed.parent} holds no photos/c\.jpg: download or copy it again, or correct"
    with pytest.raises(FileNotFoundError, match=match):
        open_file(packed / "c.jpg")


def test_an_archive_that_broke_off_is_named_with_what_to_do(folder):
    packed = pack(folder)
    truncate_archive(packed.parent)
    for look in (is_folder, is_file, open_file, list_files):
        with pytest.raises(ZipError, match=rf"{packed.parent} is no whole zip .*again"):
            look(packed / "a.jpg")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_damaged_member_is_named_and_the_others_are_read(folder, method):
    rng = np.random.default_rng(0)
    (folder / "a.jpg").write_bytes(noise := rng.bytes(5000))
    packed = pack(folder, method)
    with zipfile.ZipFile(packed.parent) as file:
        start = file.getinfo("photos/a.jpg").header_offset
    content = packed.parent.read_bytes()[start:]
    spoil(packed.parent, noise if method == zipfile.ZIP_STORED else content[2000:2100])
    with pytest.raises(ZipError, match=rf"{packed.parent} is damaged at its member photos/a\.jpg"):
        open_file(packed / "a.jpg")
    assert read(packed / "in/b.JPG") == b"b"


def test_a_member_that_unpacks_to_more_than_it_says_takes_no_more_memory(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a").write_bytes(bytes(100_000))
    packed = pack(folder, zipfile.ZIP_DEFLATED)
    content, size = packed.parent.read_bytes(), (100_000).to_bytes(4, "little")
    packed.parent.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = packer.compress(bytes(100_000)) + packer.flush()
    assert len(zip_members._inflate(zeros, 10)) == 11
    with pytest.raises(ZipError, match=r"damaged at its member photos/a"):
        open_file(packed / "a")


def test_other_ways_of_packing_and_huge_members_are_refused(folder, monkeypatch):
    packed = pack(folder, zipfile.ZIP_BZIP2)
    with pytest.raises(ZipError, match=r"a\.jpg is compressed by method 12: unpack the archive"):
        open_file(packed / "a.jpg")
    packed = pack(folder)
    monkeypatch.setattr(zip_members, "MOST_BYTES", 10_000)
    with pytest.raises(ZipError, match=r"a\.jpg has 10240 bytes"):
        open_file(packed / "a.jpg")
    with zipfile.ZipFile(packed.parent) as file:
        start = file.start_dir
    content = bytearray(packed.parent.read_bytes())
    content[start + 8] |= 1  # the flag in the directory's first entry
    packed.parent.write_bytes(content)
    with pytest.raises(ZipError, match=r"photos/ is encrypted|a\.jpg is encrypted"):
        monkeypatch.setattr(zip_members, "MOST_BYTES", 2**30)
        open_file(packed / "a.jpg")


def test_images_and_pngs_in_a_zip_say_what_those_of_a_folder_say(tmp_path):
    folder = tmp_path / "mixed"
    ids = np.arange(12).reshape(3, 4) * 70_000
    write_ids(folder / "a.png", ids)
    Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3)).save(folder / "b.jpg")
    (folder / "c.jpg").write_bytes(b"no image")
    packed = pack(folder)
    assert np.array_equal(read_ids(packed / "a.png"), ids)
    assert np.array_equal(read_image(packed / "b.jpg"), read_image(folder / "b.jpg"))
    with pytest.raises(UnreadableImageError, match=r"zip/mixed/c\.jpg: .*no image of a known"):
        read_image(packed / "c.jpg")
    with pytest.raises(FileNotFoundError, match=r"mixed\.zip/mixed/d\.jpg is missing, .*restore"):
        read_image(packed / "d.jpg")
    with pytest.raises(ValueError, match=r"zip/mixed/c\.jpg cannot be read \(no image of a known"):
        read_ids(packed / "c.jpg")
    spoil(packed.parent, (folder / "b.jpg").read_bytes())
    with pytest.raises(UnreadableImageError, match=r"mixed\.zip is damaged at its member mixed/b"):
        read_image(packed / "b.jpg")


@pytest.mark.parametrize("kind", ["threads", "fork", "spawn"])
def test_workers_that_read_one_zip_at_once_get_the_right_bytes(tmp_path, kind):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 256, (50 + number, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    packed = pack(folder)
    expected = [zlib.crc32(read_image(folder / f"{number}.png")) for number in range(40)]
    order = [int(number) for number in np.tile(rng.permutation(40), 5)]
    read_image(packed / "0.png")  # what a forked process inherits is in use
    if kind == "threads":
        pool = ThreadPoolExecutor(4)
    else:
        pool = ProcessPoolExecutor(2, mp_context=get_context(kind))
    with pool:
        found = pool.map(read_image, [packed / f"{number}.png" for number in order])
        assert [zlib.crc32(pixels) for pixels in found] == [expected[number] for number in order]
