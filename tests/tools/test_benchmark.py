import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from kmax_deeplab.benchmark.synthetic_dataset import write_synthetic_dataset
from tests.tiny_run import TINY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs" / "shapes" / "kmax_convnext_demo.yaml")
TOOL = str(ROOT / "tools" / "benchmark.py")


def run_benchmark(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [TOOL, *map(str, arguments)])
    runpy.run_path(TOOL, run_name="__main__")


@pytest.mark.parametrize(
    ("subcommand", "rooms"),
    [
        ("train", {"backbone", "pixel decoder", "criterion", "matching", "backward", "optimizer"}),
        ("inference", {"backbone", "transformer decoder", "post-processing"}),
    ],
)
def test_time_is_told_by_room(tmp_path, monkeypatch, capsys, subcommand, rooms):
    path, trace = tmp_path / "result.json", tmp_path / "trace.json"
    options = ("--size", 65, 65, "--runs", 2, "--json", path, "--trace", trace)
    run_benchmark(monkeypatch, subcommand, "--config-file", CONFIG, *options)
    (found,) = json.loads(path.read_text())
    assert rooms <= found["rooms"].keys()
    assert (
        0 < sum(found["rooms"][room] for room in rooms - {"matching"}) < 2 * max(found["seconds"])
    )
    assert len(found["seconds"]) == 2 and found["peak_bytes"] > 0
    assert found["operators"] > 500 and found["kernels"] == found["synchronisations"] == 0
    assert f"· {min(rooms)} ms" in capsys.readouterr().out
    assert "backbone" in trace.read_text()


def test_compiled_parts_are_measured_whole(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    options = ("--size", 65, 65, "--runs", 1, "--json", path)
    words = [x for pair in TINY.items() for x in pair]  # each layer is traced
    words += ["MODEL.KMAX_DEEPLAB.COMPILE", "aot_eager"]
    run_benchmark(monkeypatch, "inference", "--config-file", CONFIG, *options, *words)
    (found,) = json.loads(path.read_text())
    assert found["rooms"].keys() == {"backbone", "head", "post-processing"}
    assert "compiled by aot_eager" in found["title"]


def test_a_result_is_compared_with_an_earlier_one(tmp_path, monkeypatch, capsys):
    path = tmp_path / "earlier.json"
    options = ("--config-file", CONFIG, "--size", 65, 65, "--runs", 1)
    run_benchmark(monkeypatch, "postprocess", *options, "--json", path)
    values = json.loads(path.read_text())
    outputs = ("panoptic", "semantic", "instance", "all outputs")
    assert [value["title"].split(", ")[1] for value in values] == list(outputs)
    for value in values:
        value["operators"] *= 2
    path.write_text(json.dumps(values))
    run_benchmark(monkeypatch, "postprocess", *options, "--compare", path)
    printed = capsys.readouterr().out.split("against")[1]
    (line,) = [line for line in printed.splitlines() if line.startswith("operators")]
    assert line.endswith("0.500")
    run_benchmark(monkeypatch, "table", path, path)
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3 + 2 * len(outputs)  # environment and head, then a line a measurement
    assert table[1].startswith("| |median ms|") and table[3].count("|") == table[1].count("|")


def measure_data(tmp_path, monkeypatch, *words):
    path = tmp_path / "result.json"
    options = ("--size", 65, 65, "--batch", 2, "--runs", 1, "--json", path)
    run_benchmark(monkeypatch, "data", "--config-file", CONFIG, *options, *words)
    (found,) = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_making_samples_is_measured_on_synthetic_images_if_there_are_no_files(
    tmp_path, monkeypatch, workers
):
    words = ("DATASETS.TRAIN", "('ade20k_panoptic_train',)", "DATASETS.PANOPTIC", "[]")
    found = measure_data(tmp_path, monkeypatch, "--workers", workers, *words)
    rooms = {"read image", "resize, crop, flip", "colour jitter", "read labels", "read PNG"}
    rooms |= {"find visible segments", "copy-paste", "targets"}
    assert found["rooms"].keys() == (set() if workers else rooms)
    place = "by 1 processes" if workers else "on one core"
    assert (
        f"2 training samples of 65 × 65 from synthetic 640 × 480 JPEGs, {place}" == found["title"]
    )


def test_making_samples_is_measured_on_the_configs_own_data(tmp_path, monkeypatch):
    places = write_synthetic_dataset(
        tmp_path / "own", 3, (40, 60), torch.Generator().manual_seed(0)
    )
    entry = {"name": "benchmarked", **places}
    words = ("DATASETS.TRAIN", "('benchmarked',)", "DATASETS.PANOPTIC", repr([entry]))
    assert "from benchmarked, on one core" in measure_data(tmp_path, monkeypatch, *words)["title"]


def test_samples_from_zips_are_measured_beside_those_from_folders(tmp_path, monkeypatch):
    places = write_synthetic_dataset(
        tmp_path / "own", 3, (40, 60), torch.Generator().manual_seed(0)
    )
    entry, path = {"name": "packed", **places}, tmp_path / "result.json"
    words = ("DATASETS.TRAIN", "('packed',)", "DATASETS.PANOPTIC", repr([entry]))
    options = ("--size", 65, 65, "--batch", 2, "--runs", 1, "--json", path)
    run_benchmark(monkeypatch, "zips", "--config-file", CONFIG, *options, *words)
    titles = [value["title"] for value in json.loads(path.read_text())]
    assert [title.split(" from ")[1] for title in titles] == [
        f"{kind} of packed, on one core" for kind in ("folders", "zips")
    ]
