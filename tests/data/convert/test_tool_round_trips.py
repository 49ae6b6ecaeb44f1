import pytest

from tests.data.convert.round_trip import differences, draw_blobs, write_truth
from tests.data.convert.writers_b import (
    write_datumaro_panoptic,
    write_detection,
    write_instance_pngs,
    write_segments_ai,
)
from tests.data.convert.writers_cvat import write_cvat, write_cvat_polygons
from tests.data.convert.writers_label_studio import (
    write_label_studio,
    write_label_studio_polygons,
)
from tests.scripts import exit_status, load_script

WRITERS = (
    write_detection,
    write_instance_pngs,
    write_datumaro_panoptic,
    write_segments_ai,
    write_label_studio,
    write_label_studio_polygons,
    write_cvat,
    write_cvat_polygons,
)


@pytest.fixture(scope="module")
def main():
    return load_script("datasets/convert.py").main


@pytest.mark.parametrize("write", WRITERS)
def test_what_is_written_out_for_a_tool_comes_back_as_it_was(main, write, tmp_path):
    pictures = {"a": draw_blobs(0, (40, 61), 9), "b": draw_blobs(1, (33, 50), 5, stuff=False)}
    truth = write_truth(tmp_path / "truth", pictures)
    (tmp_path / "export").mkdir()
    words = write(truth, tmp_path / "export")
    assert exit_status(main, *words, "--workers=1", f"--output={tmp_path / 'out'}") == 0
    assert differences(truth, tmp_path / "out") == []
