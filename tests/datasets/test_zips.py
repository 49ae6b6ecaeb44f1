"""Benchmarks whose images and PNGs stay in their archives."""

import shutil

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from kmax_deeplab.d2.data.examine import examine
from tests.datasets.oracle import Oracle
from tests.datasets.prepared import BENCHMARKS, registered
from tests.packed import truncate_archive

COCO, _, ADE20K = BENCHMARKS


@pytest.fixture(scope="module", params=[COCO, ADE20K], ids=lambda benchmark: benchmark.name)
def packed(request, tmp_path_factory):
    """A benchmark, and a folder in which it was prepared with --zips."""
    root = tmp_path_factory.mktemp("zips")
    request.param.build(root)
    request.param.script().main(["--root", str(root), "--workers", "1", "--zips"])
    return request.param, root


def test_only_what_is_made_lies_unpacked(packed):
    benchmark, root = packed
    folder = root / ("coco" if benchmark is COCO else "ADEChallengeData2016")
    kinds = {
        "coco": ["annotations", "panoptic_semseg_train2017", "panoptic_semseg_val2017"],
        "ade20k": ["ade20k_panoptic_train", "ade20k_panoptic_val", "annotations_detectron2"],
    }
    untarred = ["annotations_instance"] if benchmark is ADE20K else []
    made = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert made == sorted(kinds[benchmark.name] + untarred)


@pytest.mark.slow
def test_figures_and_labels_are_those_of_folders(packed, datasets_root, tmp_path, one_thread):
    benchmark, root = packed
    found = []
    for place in (datasets_root, root):
        with registered(place):
            for name in benchmark.sets:
                assert examine(name) == []
            through = [".zip/" in r["file_name"] for r in DatasetCatalog.get(benchmark.test_set)]
            assert all(through) if place == root else not any(through)
            metadata = MetadataCatalog.get(benchmark.test_set)
            assert (benchmark is COCO and place == root) == (".zip/" in metadata.panoptic_root)
            found.append(benchmark.score(tmp_path / place.name, Oracle(benchmark.test_set)))
    assert str(found[0]) == str(found[1]) and found[0]["panoptic_seg"]["PQ"] > 0
    made = "*/*semseg*/*.png" if benchmark is COCO else "*/annotations_detectron2/*/*.png"
    written = sorted(root.glob(made))
    assert len(written) == 7
    for path in written:
        assert path.read_bytes() == (datasets_root / path.relative_to(root)).read_bytes()


def test_a_folder_that_was_half_unpacked_and_a_cut_archive_are_named(packed, tmp_path):
    benchmark, root = packed
    copy = shutil.copytree(root, tmp_path / "copy")
    words = ["--root", str(copy), "--workers", "1", "--splits", "val", "--zips"]
    if benchmark is COCO:
        (copy / "coco/val2017").mkdir()
        with pytest.raises(FileNotFoundError, match=r"remove .*/coco/val2017 to have them read"):
            benchmark.script().main(words)
        (copy / "coco/val2017").rmdir()
    archive = next(copy.rglob("val2017.zip" if benchmark is COCO else "ADE*.zip"))
    truncate_archive(archive)
    with pytest.raises(OSError, match=rf"{archive} is no whole zip .*download or copy it again"):
        benchmark.script().main(words)
