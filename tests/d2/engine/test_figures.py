"""Figures are written once, by name: those of an evaluation hide none of the next iteration."""

import json

from detectron2.utils.events import EventStorage

from kmax_deeplab.d2.engine.figures import MetricsFile


def test_losses_of_the_iteration_after_an_evaluation_are_written(tmp_path):
    writer = MetricsFile(tmp_path / "metrics.json")
    with EventStorage() as storage:
        for iteration, loss in enumerate((4.0, 2.0)):
            storage.iter = iteration
            storage.put_scalar("total_loss", loss, smoothing_hint=False)
            writer.write()
            storage.put_scalar("a/PQ", loss, smoothing_hint=False, cur_iter=iteration + 1)
            writer.write()
            writer.write()
    writer.close()
    assert [json.loads(line) for line in (tmp_path / "metrics.json").open()] == [
        {"iteration": 0, "total_loss": 4.0},
        {"iteration": 1, "a/PQ": 4.0},
        {"iteration": 1, "total_loss": 2.0},
        {"iteration": 2, "a/PQ": 2.0},
    ]


def test_figures_of_several_iterations_are_written_in_their_order(tmp_path):
    writer = MetricsFile(tmp_path / "metrics.json")
    with EventStorage() as storage:
        storage.put_scalar("b", 1.0, cur_iter=3)
        storage.put_scalar("total_loss", 1.0, cur_iter=2)  # that of 3 was not finite
        writer.write()
    writer.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").open()]
    assert [line["iteration"] for line in lines] == [2, 3]
