import json

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


def test_what_a_reader_left_out_and_dropped_is_said(main, tmp_path, capsys):
    truth = write_truth(tmp_path / "truth", {"a": draw_blobs(0, (40, 61), 9)})
    (tmp_path / "export").mkdir()
    words = write_label_studio(truth, tmp_path / "export")
    path = tmp_path / "export" / "project.json"
    tasks = json.loads(path.read_text())
    tasks[0]["annotations"][0]["result"].append({"type": "choices", "value": {"choices": ["x"]}})
    path.write_text(json.dumps([*tasks, {"id": 7, "data": {"image": "b.png"}, "annotations": []}]))
    assert exit_status(main, *words, "--workers=1", f"--output={tmp_path / 'out'}") == 0
    printed = capsys.readouterr().out
    assert "Left out 1 tasks: nobody labelled them" in printed
    assert "Dropped 1: choices, which marks no region." in printed
    path.write_text(json.dumps(tasks).replace('"original_width": 61', '"original_width": 62', 1))
    message = exit_status(main, *words, f"--output={tmp_path / 'other'}")
    assert "task 1, region" in message and "a.png has (40, 61): put the image" in message
    assert not (tmp_path / "other").exists()
