import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs" / "coco" / "panoptic_segmentation" / "kmax_r50.yaml")
TOOL = str(ROOT / "tools" / "analyze_model.py")


def analyse(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", [TOOL, "--config-file", CONFIG, *words])
    runpy.run_path(TOOL, run_name="__main__")
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    table = {" ".join(row[:-3]): [float(cell) for cell in row[-3:]] for row in rows[4:11] if row}
    return printed, table


def test_the_published_parameters_and_every_room_are_told(monkeypatch, capsys):
    printed, table = analyse(monkeypatch, capsys, "--size", "129", "129")
    assert "1 images of 129 × 129, mixed precision" in printed
    assert {"backbone", "pixel decoder", "transformer decoder", "all"} <= table.keys()
    parameters = table["all"][0] - table["auxiliary semantic head"][0]
    assert round(parameters) == 57  # M, as the paper has it
    assert "Least memory of a training: " in printed


def test_more_images_cost_more_and_recomputation_saves_memory(monkeypatch, capsys):
    size = ("--size", "129", "129")
    _, one = analyse(monkeypatch, capsys, *size)
    _, two = analyse(monkeypatch, capsys, *size, "--batch", "2")
    assert abs(two["all"][1] - 2 * one["all"][1]) < 0.02
    words = ("MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS", "True")
    _, less = analyse(monkeypatch, capsys, *size, "--batch", "2", *words)
    assert less["all"][2] < 0.7 * two["all"][2]


@pytest.mark.parametrize(
    ("words", "said"), [(("--size", "100", "100"), "IMAGE_SIZE"), (("--batch", "0"), "--batch 0")]
)
def test_what_cannot_be_is_refused_by_name(monkeypatch, capsys, words, said):
    with pytest.raises(SystemExit, match=said):
        analyse(monkeypatch, capsys, *words)
