import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from kmax_deeplab.benchmark.synthetic_dataset import write_synthetic_dataset

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs" / "shapes" / "kmax_convnext_demo.yaml")
TOOL = str(ROOT / "tools" / "benchmark.py")


def run_benchmark(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [TOOL, *map(str, arguments)])
    runpy.run_path(TOOL, run_name="__main__")


@pytest.mark.parametrize(
    ("subcommand", "stages"),
    [
        ("train", {"backbone", "pixel decoder", "criterion", "matching", "network backward"}),
        ("inference", {"backbone", "transformer decoder", "post-processing"}),
        ("postprocess", {"panoptic alone", "semantic alone", "instance alone"}),
    ],
)
def test_every_subcommand_measures_its_stages(tmp_path, monkeypatch, capsys, subcommand, stages):
    path = tmp_path / "result.json"
    options = ("--size", 65, 65, "--runs", 1, "--json", path)
    run_benchmark(monkeypatch, subcommand, "--config-file", CONFIG, *options)
    rows = {row["stage"]: row for row in json.loads(path.read_text())["rows"]}
    assert stages <= rows.keys()
    assert all(row["seconds"][0] > 0 and row["peak_bytes"] > 0 for row in rows.values())
    assert "100.0%" in capsys.readouterr().out


def test_a_result_is_compared_with_an_earlier_one(tmp_path, monkeypatch, capsys):
    path = tmp_path / "earlier.json"
    options = ("--config-file", CONFIG, "--size", 65, 65, "--runs", 1)
    run_benchmark(monkeypatch, "postprocess", *options, "--json", path)
    run_benchmark(monkeypatch, "postprocess", *options, "--compare", path)
    assert "second / first" in capsys.readouterr().out


def measure_data(tmp_path, monkeypatch, capsys, *words):
    path = tmp_path / "result.json"
    options = ("--size", 65, 65, "--batch", 2, "--runs", 1, "--json", path)
    run_benchmark(monkeypatch, "data", "--config-file", CONFIG, *options, *words)
    result = json.loads(path.read_text())
    assert result["title"] in capsys.readouterr().out
    return result["title"], {row["stage"]: row["seconds"][0] for row in result["rows"]}


def test_making_samples_is_measured_on_synthetic_images_if_there_are_no_files(
    tmp_path, monkeypatch, capsys
):
    words = ("DATASETS.TRAIN", "('ade20k_panoptic_train',)", "DATASETS.PANOPTIC", "[]")
    title, seconds = measure_data(tmp_path, monkeypatch, capsys, *words)
    stages = {"read image", "resize, crop, flip", "colour jitter", "read labels", "read PNG"}
    stages |= {"find visible segments", "copy-paste", "targets"}
    assert stages <= seconds.keys() and all(seconds[stage] > 0 for stage in stages)
    assert "2 training samples of 65 × 65 from synthetic 640 × 480 JPEGs" in title
    assert f"{2 / seconds['total']:.1f} images/s" in title


def test_making_samples_is_measured_on_the_configs_own_data(tmp_path, monkeypatch, capsys):
    places = write_synthetic_dataset(
        tmp_path / "own", 3, (40, 60), torch.Generator().manual_seed(0)
    )
    entry = {"name": "benchmarked", **places}
    words = ("DATASETS.TRAIN", "('benchmarked',)", "DATASETS.PANOPTIC", repr([entry]))
    title, _ = measure_data(tmp_path, monkeypatch, capsys, *words)
    assert "from benchmarked, on one core" in title
