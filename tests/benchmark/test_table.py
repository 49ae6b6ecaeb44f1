import json

import torch

from kmax_deeplab.benchmark.stages import Row
from kmax_deeplab.benchmark.table import (
    Result,
    describe_environment,
    format_comparison,
    format_result,
)


def result(factor=1.0):
    rows = [
        Row("criterion", 0, [1.0 * factor, 3.0 * factor, 2.0 * factor], 2_000_000_000),
        Row("matching", 1, [0.5 * factor] * 3, 1_000_000_000),
        Row("total", 0, [8.0 * factor] * 3, 4_000_000_000),
    ]
    return Result("config: step", "some machine", rows)


def test_shares_refer_to_the_total_and_stages_within_are_indented():
    lines = format_result(result()).splitlines()
    assert lines[3].split() == ["criterion", "2.0000", "25.0%", "2.00"]
    assert lines[4].startswith("  matching")
    assert lines[5].split() == ["total", "8.0000", "100.0%", "4.00"]


def test_a_result_survives_json():
    assert Result.from_dict(json.loads(json.dumps(result().to_dict()))) == result()


def test_a_comparison_divides_the_second_by_the_first():
    lines = format_comparison(result(), result(0.5)).splitlines()
    assert lines[-1].split() == ["total", "0.500", "1.000"]


def test_the_environment_names_device_and_version():
    line = describe_environment(torch.device("cpu"))
    assert "threads" in line
    assert torch.__version__ in line
