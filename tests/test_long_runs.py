"""What long runs need: layouts, checkpoints that rotate, early ends, averages, frozen parts."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

import train_net
from kmax_deeplab.checkpoint.checkpointer import KMaXCheckpointer
from kmax_deeplab.d2.data.stream import TrainingStream
from kmax_deeplab.d2.engine.trainer import Trainer
from tests.test_train_net import assert_same, finished, run  # noqa: F401  a fixture
from tests.tiny_run import command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("model_*.pth")}


def norms_of(checkpoint: Path) -> list[str]:
    state = torch.load(checkpoint)["model"]
    return [name.removesuffix(".running_mean") for name in state if name.endswith(".running_mean")]


def test_accumulated_batches_train_like_one_batch_but_for_the_norms(finished, shapes, tmp_path):
    frozen = norms_of(finished[0] / "model_final.pth")
    shared = {"SEED": 4, "SOLVER.MAX_ITER": 5, "MODEL.KMAX_DEEPLAB.FREEZE": frozen}
    shared |= {"SOLVER.OPTIMIZER": "SGD", "MODEL.WEIGHTS": finished[0] / "model_final.pth"}
    run(shapes, tmp_path / "one", **shared, **{"SOLVER.IMS_PER_BATCH": 4})
    parts = {"SOLVER.IMS_PER_BATCH": 2, "SOLVER.ACCUMULATE": 2}
    run(shapes, tmp_path / "two", **shared, **parts)
    one, two = (torch.load(tmp_path / name / "model_final.pth") for name in ("one", "two"))
    begin = torch.load(finished[0] / "model_final.pth")["model"]
    assert max((one["model"][n] - begin[n]).abs().max() for n in begin) > 1e-2
    torch.testing.assert_close(one["model"], two["model"], rtol=1e-4, atol=1e-4)
    losses = [json.loads((tmp_path / n / "metrics.json").open().readline()) for n in ("one", "two")]
    assert losses[0]["total_loss"] == pytest.approx(losses[1]["total_loss"], rel=1e-5)
    assert all(x["trainer"]["position"] == 20 for x in (one, two))


def test_a_run_resumed_with_another_batch_goes_on_in_its_data(
    finished, shapes, tmp_path, monkeypatch
):
    (tmp_path / "model_0000001.pth").write_bytes((finished[0] / "model_0000001.pth").read_bytes())
    seen, item = [], TrainingStream.__getitem__
    monkeypatch.setattr(TrainingStream, "__getitem__", lambda s, i: (seen.append(i), item(s, i))[1])
    changes = {"SOLVER.IMS_PER_BATCH": 3, "SOLVER.MAX_ITER": 4, "DATALOADER.NUM_WORKERS": 0}
    run(shapes, tmp_path, "--resume", **changes)
    assert seen[:6] == [4, 5, 6, 7, 8, 9]  # two iterations of two images came before


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"SOLVER.OPTIMIZER": "SGD"}, r"SOLVER\.OPTIMIZER is SGD, and the checkpoint's was ADAMW"),
        ({"MODEL.KMAX_DEEPLAB.FREEZE": ["backbone"]}, "other groups of parameters.*frozen"),
        ({"SOLVER.MAX_ITER": 1}, r"stands at iteration 2, SOLVER\.MAX_ITER is 1"),
    ],
)
def test_what_cannot_be_meant_by_a_resume_is_refused(
    changes, complaint, finished, shapes, tmp_path
):
    (tmp_path / "model_0000001.pth").write_bytes((finished[0] / "model_0000001.pth").read_bytes())
    with pytest.raises(ValueError, match=complaint):
        run(shapes, tmp_path, "--resume", **changes)


def test_options_may_stand_anywhere(shapes, tmp_path):
    words = command(shapes, tmp_path)
    args = train_net.parse_args([*words, "--resume", "--num-gpus=2", "SOLVER.MAX_ITER", "7"])
    assert args.resume and args.num_gpus == 2 and args.opts[-2:] == ["SOLVER.MAX_ITER", "7"]
    args = train_net.parse_args([*words, "--num-gpus", "3", "SOLVER.BASE_LR", "-1"])
    assert args.num_gpus == 3 and args.opts[-2:] == ["SOLVER.BASE_LR", "-1"]


def test_old_checkpoints_are_forgotten_and_the_best_one_is_kept(shapes, tmp_path, monkeypatch):
    scores = iter([10.0, 30.0, 20.0, 25.0, 5.0])
    monkeypatch.setattr(
        Trainer, "test", classmethod(lambda *_, **__: {"panoptic_seg": {"PQ": next(scores)}})
    )
    changes = {"SOLVER.CHECKPOINT_PERIOD": 1, "TEST.EVAL_PERIOD": 1, "SOLVER.MAX_ITER": 5}
    run(shapes, tmp_path, **changes, **{"CHECKPOINTER.MAX_TO_KEEP": 2})
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").open()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1, 2, 3, 4]
    numbered = {"model_0000003.pth", "model_0000004.pth"}
    assert names(tmp_path) == {*numbered, "model_best.pth", "model_final.pth"}
    best = torch.load(tmp_path / "model_best.pth")
    assert best["iteration"] == 1
    assert torch.load(tmp_path / "model_0000004.pth")["trainer"]["hooks"]["KeepBest"] == {
        "best": (30.0, 1)
    }


def test_an_evaluation_that_a_kill_ended_is_made_up_for(shapes, tmp_path, monkeypatch):
    scores = iter([10.0, 20.0, 5.0])
    monkeypatch.setattr(
        Trainer, "test", classmethod(lambda *_, **__: {"panoptic_seg": {"PQ": next(scores)}})
    )
    changes = {"SOLVER.CHECKPOINT_PERIOD": 2, "TEST.EVAL_PERIOD": 2, "SOLVER.MAX_ITER": 4}
    run(shapes, tmp_path / "one", **changes)
    lines = (tmp_path / "one/metrics.json").read_text().splitlines(keepends=True)
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3, 4]
    resumed = tmp_path / "two"
    resumed.mkdir()
    shutil.copy(tmp_path / "one/model_0000001.pth", resumed)
    (resumed / "metrics.json").write_text(lines[0])  # killed before it was evaluated
    scores = iter([30.0, 5.0])
    run(shapes, resumed, "--resume", **changes)
    lines = (resumed / "metrics.json").open()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3, 4]
    assert place_of(resumed / "model_best.pth") == (1, 4)


def place_of(checkpoint: Path) -> tuple[int, int]:
    content = torch.load(checkpoint)
    assert content["iteration"] == content["trainer"]["iteration"]
    return content["iteration"], content["trainer"]["position"]


def test_the_best_model_of_the_last_evaluation_can_be_gone_on_from(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "test", classmethod(lambda *_, **__: {"panoptic_seg": {"PQ": 1}}))
    changes = {"TEST.EVAL_PERIOD": 9, "SOLVER.MAX_ITER": 1}
    run(shapes, tmp_path, **changes)
    assert (tmp_path / "last_checkpoint").read_text() == "model_best.pth"
    assert place_of(tmp_path / "model_best.pth") == (0, 2)
    run(shapes, tmp_path, "--resume", **{**changes, "SOLVER.MAX_ITER": 2})
    assert place_of(tmp_path / "model_final.pth") == (1, 4)
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").open()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1]


def test_a_best_score_that_no_evaluation_gives_is_warned_of(shapes, tmp_path, monkeypatch):
    scores = {"panoptic_seg": {"PQ": 1.0, "PQ-circle": 1.0}}
    monkeypatch.setattr(Trainer, "test", classmethod(lambda *_, **__: scores))
    changes = {"TEST.EVAL_PERIOD": 1, "SOLVER.MAX_ITER": 1, "CHECKPOINTER.BEST": "PQ"}
    run(shapes, tmp_path, **changes)
    said = "CHECKPOINTER.BEST is 'PQ', which the evaluation does not give: no model_best.pth is"
    assert f"{said} kept. There are panoptic_seg/PQ\n" in (tmp_path / "log.txt").read_text()


def test_a_run_ends_when_its_time_is_over_and_goes_on(shapes, tmp_path, monkeypatch):
    limit = {"CHECKPOINTER.TIME_LIMIT": 1, "SOLVER.CHECKPOINT_PERIOD": 100}
    assert run(shapes, tmp_path, **limit) is None
    assert names(tmp_path) == {"model_0000000.pth"}
    log = (tmp_path / "log.txt").read_text()
    assert "Stopped by CHECKPOINTER.TIME_LIMIT after iteration 1 of 4" in log
    assert "PQ" in run(shapes, tmp_path, "--resume")["panoptic_seg"]
    iterations = [json.loads(line)["iteration"] for line in (tmp_path / "metrics.json").open()]
    assert iterations == sorted(set(iterations))


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_ends_a_run_with_a_checkpoint(number, shapes, tmp_path, monkeypatch):
    step = Trainer.run_step

    def interrupted(trainer):
        if trainer.iter == 1:
            os.kill(os.getpid(), getattr(signal, number))
        step(trainer)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Trainer, "run_step", interrupted)
    assert run(shapes, tmp_path, **{"SOLVER.CHECKPOINT_PERIOD": 100}) is None
    assert names(tmp_path) == {"model_0000001.pth"}
    assert f"Stopped by {number} after iteration 2 of 4" in (tmp_path / "log.txt").read_text()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(shapes, tmp_path, monkeypatch):
    open_file = KMaXCheckpointer(torch.nn.Linear(1, 1)).path_manager.open

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

    def open_full(path, mode="r", **settings):
        file = open_file(path, mode, **settings)
        return Full(file) if "0000003" in str(path) and "w" in mode else file

    manager = type(KMaXCheckpointer(torch.nn.Linear(1, 1)).path_manager)
    monkeypatch.setattr(manager, "open", lambda _, *a, **k: open_full(*a, **k))
    with pytest.raises(OSError, match=r"model_0000003\.pth cannot be written.*space.*--resume"):
        run(shapes, tmp_path)
    assert names(tmp_path) == {"model_0000001.pth"} and not list(tmp_path.glob("*partial*"))
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_half_written_files_are_swept(finished, shapes, tmp_path):
    for name in ("model_0000003.partial.pth", ".last_checkpoint.123.partial"):
        (tmp_path / name).write_bytes(b"half")
    run(shapes, tmp_path, "--resume", **{"SOLVER.MAX_ITER": 1})
    assert not list(tmp_path.glob("*partial*"))


def test_a_truncated_last_checkpoint_is_passed_over(finished, shapes, tmp_path):
    for name in ("model_0000001.pth", "model_0000003.pth"):
        (tmp_path / name).write_bytes((finished[0] / name).read_bytes())
    newest = tmp_path / "model_0000003.pth"
    newest.write_bytes(newest.read_bytes()[:-1000])
    (tmp_path / "last_checkpoint").write_text("model_0000003.pth")
    assert run(shapes, tmp_path, "--resume") == finished[1]
    assert "Continuing from model_0000001.pth" in (tmp_path / "log.txt").read_text()


@pytest.fixture(scope="module")
def averaged(shapes, tmp_path_factory):
    output = tmp_path_factory.mktemp("averaged")
    return output, run(shapes, output, **{"SOLVER.EMA.ENABLED": True, "SOLVER.EMA.DECAY": 0.9})


def test_averaged_weights_are_evaluated_and_saved_beside_the_others(averaged, shapes, tmp_path):
    output, results = averaged
    assert set(results) == {"panoptic_seg", "ema"}
    checkpoints = [torch.load(output / name) for name in ("model_final.pth", "model_final_ema.pth")]
    assert_same(checkpoints[0]["ema"], checkpoints[1]["model"], "ema")
    differ = [
        n
        for n, v in checkpoints[0]["ema"].items()
        if not torch.equal(v, checkpoints[0]["model"][n])
    ]
    assert len(differ) > 100 and "trainer" not in checkpoints[1]
    weights = {"MODEL.WEIGHTS": output / "model_final_ema.pth"}
    assert run(shapes, tmp_path, "--eval-only", **weights) == results["ema"]
    assert (output / "inference/ema/results.json").is_file()


def test_a_resumed_average_is_the_uninterrupted_one(averaged, shapes, tmp_path):
    output, results = averaged
    (tmp_path / "model_0000001.pth").write_bytes((output / "model_0000001.pth").read_bytes())
    changes = {"SOLVER.EMA.ENABLED": True, "SOLVER.EMA.DECAY": 0.9}
    assert run(shapes, tmp_path, "--resume", **changes) == results
    first, second = (torch.load(folder / "model_final.pth") for folder in (output, tmp_path))
    assert_same(first["ema"], second["ema"], "ema")


def test_an_average_that_a_resume_turns_on_begins_with_the_weights(finished, shapes, tmp_path):
    (tmp_path / "model_0000001.pth").write_bytes((finished[0] / "model_0000001.pth").read_bytes())
    changes = {"SOLVER.EMA.ENABLED": True, "SOLVER.EMA.DECAY": 1.0, "SOLVER.MAX_ITER": 3}
    run(shapes, tmp_path, "--resume", **changes)
    found = torch.load(tmp_path / "model_final.pth")
    begin = torch.load(tmp_path / "model_0000001.pth")["model"]
    moved = (found["ema"][n] - begin[n] for n in begin if begin[n].is_floating_point())
    assert max(d.abs().max() for d in moved) < max(
        (found["model"][n] - begin[n]).abs().max() for n in begin
    )


def test_exact_statistics_of_norms_are_the_average_of_the_batches(shapes, tmp_path):
    changes = {"TEST.PRECISE_BN.ENABLED": True, "TEST.PRECISE_BN.NUM_ITER": 3, "SEED": 1}
    run(shapes, tmp_path / "precise", **changes)
    run(shapes, tmp_path / "plain", **{"SEED": 1})
    precise, plain = (
        torch.load(tmp_path / n / "model_final.pth")["model"] for n in ("precise", "plain")
    )
    changed = {name for name in plain if not torch.equal(plain[name], precise[name])}
    statistics = {n for n in plain if n.endswith(("running_mean", "running_var", "_tracked"))}
    assert changed <= statistics and len(changed) > 50


def test_frozen_parts_stay_and_others_have_their_rates(shapes, tmp_path):
    changes = {
        "MODEL.KMAX_DEEPLAB.FREEZE": ["sem_seg_head.pixel_decoder.stages.0"],
        "SOLVER.LR_FACTORS": [["backbone.stages.0", 0.5], ["sem_seg_head.semantic", 0.0]],
        "DETERMINISTIC": True,
    }
    with pytest.raises(ValueError, match=r"LR_FACTORS names 'sem_seg_head\.semantic'"):
        run(shapes, tmp_path, **changes)
    changes["SOLVER.LR_FACTORS"][1][0] = "sem_seg_head.predictor.kmax_transformer_layers"
    run(shapes, tmp_path, **changes)
    first, last = (torch.load(tmp_path / f"model_000000{i}.pth") for i in (1, 3))
    for name, value in first["model"].items():
        if name.startswith("sem_seg_head.pixel_decoder.stages.0."):
            assert torch.equal(value, last["model"][name]), name
    groups = last["trainer"]["_trainer"]["optimizer"]["param_groups"]
    rates = {round(group["initial_lr"] / 0.02, 6) for group in groups}
    assert rates == {1.0, 0.15, 0.5, 0.0}
    torch.use_deterministic_algorithms(False)


def test_a_part_that_there_is_not_cannot_be_frozen(shapes, tmp_path):
    with pytest.raises(ValueError, match=r"FREEZE names 'back'.*backbone, sem_seg_head"):
        run(shapes, tmp_path, **{"MODEL.KMAX_DEEPLAB.FREEZE": ["back"]})


def test_the_rate_follows_the_batch_where_it_is_asked_to(shapes, tmp_path):
    changes = {"SOLVER.REFERENCE_BATCH": 8, "SOLVER.ACCUMULATE": 2, "SOLVER.MAX_ITER": 1}
    run(shapes, tmp_path, **changes)
    assert (
        "Effective batch 4 = 1 processes × 2 images × 2 accumulated; learning rate 0.01, scaled "
        "from 0.02 of 8 images, backbone 0.0015"
    ) in (tmp_path / "log.txt").read_text()


@pytest.fixture
def no_datasets():
    """Empties the catalogs for a while."""
    catalogs = DatasetCatalog, MetadataCatalog
    before = [dict(catalog) for catalog in catalogs]
    for name in ("shapes_train", "shapes_val"):
        for catalog in catalogs:
            catalog.pop(name, None)
    yield
    for catalog, entries in zip(catalogs, before, strict=True):
        catalog.data.clear()
        catalog.data.update(entries)


def test_a_file_that_vanishes_in_mid_run_is_left_out_and_counted(
    shapes, tmp_path, monkeypatch, no_datasets
):
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    step, images = Trainer.run_step, sorted((data / "train/images").iterdir())

    def removing(trainer):
        if trainer.iter == 1:
            images[0].unlink()
            png = data / "train/panoptic" / images[1].with_suffix(".png").name
            shutil.copy(data / "train/panoptic" / images[2].with_suffix(".png").name, png)
            images[3].write_bytes(images[3].read_bytes()[:300])
        step(trainer)

    monkeypatch.setattr(Trainer, "run_step", removing)
    changes = {"SOLVER.MAX_ITER": 50, "DATALOADER.NUM_WORKERS": 0, "DATALOADER.MAX_DAMAGED": 2}
    with pytest.raises(ValueError, match=r"3 files .* DATALOADER\.MAX_DAMAGED 2") as ended:
        run(data, tmp_path / "run", **changes)
    log = (tmp_path / "run/log.txt").read_text().splitlines()
    reasons = ("is missing", "in the PNG, not in the JSON", "cannot be read")
    for path, reason in zip((images[0], images[1], images[3]), reasons, strict=True):
        assert any(f"Left out {path}" in line and reason in line for line in log), path
        assert str(path) in str(ended.value)


def test_a_folder_that_cannot_be_written_is_named(shapes, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        run(shapes, tmp_path / "file" / "run")


def test_tensorboard_shows_layers_classes_and_pictures(shapes, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(shapes, tmp_path, **{"TEST.SHOWN_IMAGES": 1, "TEST.EVAL_PERIOD": 2})
    events = EventAccumulator(str(tmp_path)).Reload()
    figures = set(events.Tags()["scalars"])
    assert {"layer 0/loss_ce", "final/loss_dice", "step/gradient_norm", "total_loss"} <= figures
    assert {"panoptic_seg PQ by class/disc", "run/images_per_second", "step/lr"} <= figures
    (name,) = events.Tags()["images"]
    assert name.startswith("examples/image ") and len(events.Images(name)) == 2
    (tmp_path / "shown.png").write_bytes(events.Images(name)[0].encoded_image_string)
