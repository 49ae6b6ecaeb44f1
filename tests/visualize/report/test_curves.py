import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from kmax_deeplab.visualize.report.curves import (
    Curve,
    draw_chart,
    group_by_term,
    losses_of,
    read_metrics,
)


def write_lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_losses_are_read_and_other_values_left(tmp_path):
    first = {"iteration": 19, "total_loss": 5.0, "loss_ce": 2.0, "lr": 0.1}
    second = {"iteration": 39, "total_loss": 4.0, "loss_ce": 1.5, "panoptic_seg/PQ": 60.0}
    losses = losses_of(read_metrics(write_lines(tmp_path / "metrics.json", first, second)))
    assert losses == {
        "total_loss": Curve([19, 39], [5.0, 4.0]),
        "loss_ce": Curve([19, 39], [2.0, 1.5]),
    }


def test_an_iteration_that_a_resumed_run_repeats_counts_once(tmp_path):
    records = [{"iteration": i, "total_loss": float(loss)} for i, loss in ((0, 9), (20, 8), (0, 7))]
    curve = read_metrics(write_lines(tmp_path / "metrics.json", *records))["total_loss"]
    assert curve == Curve([0, 20], [7.0, 8.0])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        read_metrics(tmp_path / "metrics.json")


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 1}\n{"iter')
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(path)


def test_layers_are_grouped_with_the_final_output_first():
    names = ("loss_pixel_insdis_10", "loss_pixel_insdis", "loss_pixel_insdis_2", "total_loss")
    losses = {name: Curve([0], [float(value)]) for value, name in enumerate(names)}
    grouped = group_by_term(losses)
    assert list(grouped) == ["total_loss", "loss_pixel_insdis"]
    assert [curve.values[0] for curve in grouped["loss_pixel_insdis"]] == [1.0, 2.0, 0.0]


@pytest.mark.parametrize("values", [[3.0, 0.02], [0.0, 0.0], [0.0031, 0.0004]])
def test_a_chart_is_well_formed_named_and_has_a_line_for_each_curve(values):
    drawn = draw_chart("a < b", [Curve([0, 99], values), Curve([0, 99], [1.0, 1.0])])
    svg = ElementTree.fromstring(drawn)
    assert svg.get("aria-label") == "a < b"
    ids = [element.get("class") for element in svg.iter() if element.get("class")]
    assert ids.index("faint") < ids.index("strong")
    assert drawn == draw_chart("a < b", [Curve([0, 99], values), Curve([0, 99], [1.0, 1.0])])


def test_an_axis_spans_what_comes_after_the_steep_beginning():
    steep = Curve(list(range(100)), [900.0, *[5 + 0.01 * i for i in range(99)]])
    drawn = draw_chart("steep", [steep])
    ticks = [float(text) for text in re.findall(r">([\d.]+)</text>", drawn)]
    assert max(ticks) <= 100  # iterations; of values, none is near 900
    assert "↑ up to 900" in drawn
    assert "↑" not in draw_chart("flat", [Curve([0, 50, 99], [3.0, 2.0, 1.0])])


def test_another_run_is_drawn_beside():
    curve = Curve([0, 99], [2.0, 1.0])
    assert 'class="other"' in draw_chart("two", [curve], Curve([0, 50], [3.0, 2.0]))
