import json
import runpy
import sys
from pathlib import Path

import pytest

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
