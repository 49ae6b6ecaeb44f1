"""Several ranks: the same result on any layout, and faults of one rank that end in a word."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from kmax_deeplab.run_folder import locked
from tests.processes import CLEAN, ROOT, TORCHRUN, Ranks, finish, fork, start, wait_for
from tests.tiny_run import command

pytestmark = pytest.mark.slow

FAST = {"SEED": 3, "DATALOADER.NUM_WORKERS": 0, "DIST.TIMEOUT": 20}
EIGHT = {
    **FAST,
    "SOLVER.MAX_ITER": 8,
    "SOLVER.CHECKPOINT_PERIOD": 8,
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.DEC_LAYERS": [0, 1, 1],
    # AdamW takes steps of full length where the gradient is zero but for rounding, as that of a
    # bias before a norm.
    "SOLVER.OPTIMIZER": "SGD",
    "SOLVER.BASE_LR": 0.01,
}
"""8 steps long enough to matter, and too short for an assignment of pixels to flip by rounding."""


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def weights(folder: Path, name: str = "model_final.pth") -> dict[str, torch.Tensor]:
    return torch.load(folder / name)["model"]


def assert_same_training(folder: Path, other: Path, tolerance: float = 1e-4) -> None:
    """Compares losses and weights of two trainings, statistics of norms included."""
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=tolerance, atol=tolerance, msg=name)
    losses = [
        {name: value for line in metrics(x) for name, value in line.items() if "loss" in name}
        for x in (folder, other)
    ]
    assert losses[0].keys() == losses[1].keys() and len(losses[0]) > 10
    for name, value in losses[0].items():
        assert value == pytest.approx(losses[1][name], rel=1e-5), name


def test_two_ranks_train_and_evaluate_like_one(shapes, tmp_path):
    changes = {**EIGHT, "SOLVER.IMS_PER_BATCH": 4}
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        Ranks(count, "train", command(shapes, folder, **changes), folder).succeed()
    assert_same_training(tmp_path / "1", tmp_path / "2")
    one, two = (json.loads((tmp_path / n / "inference/results.json").read_text()) for n in "12")
    assert one == two


def faulty(function: str, shapes: Path, folder: Path, **changes: object) -> Ranks:
    """Starts two ranks with a fault."""
    return Ranks(2, function, command(shapes, folder, **{**FAST, **changes}), folder)


def test_a_loss_that_is_nan_in_one_rank_skips_the_step_in_all(shapes, tmp_path):
    changes = {"SOLVER.CHECKPOINT_PERIOD": 1, "SOLVER.KEEP_SKIPPED_BATCHES": True}
    ranks = faulty("nan_in_rank_1", shapes, tmp_path, **changes)
    ranks.succeed()
    (kept,) = (tmp_path / "skipped").iterdir()
    assert kept.name == "iteration_0000003_rank_1.pth"
    (image,) = torch.load(kept, weights_only=False)[0]
    said = f"Iteration 3: loss_mask not finite in float32 (rank 1, images [{image['image_id']!r}])"
    assert ranks.said().count(said) == 1
    before, after = (weights(tmp_path, f"model_{i:07d}.pth") for i in (1, 2))
    for name, value in before.items():
        assert name.endswith("num_batches_tracked") or torch.equal(value, after[name]), name


def test_a_killed_rank_ends_the_others_with_its_number(shapes, tmp_path):
    ranks = faulty("killed_rank_1", shapes, tmp_path)
    assert ranks.finish(30) == [1, -signal.SIGKILL]
    assert re.search(r"^rank 1 of 2 on \S+ is gone", ranks.said(), re.MULTILINE)


def test_without_rank_0_nobody_goes_on(shapes, tmp_path):
    ranks = faulty("killed_rank_0", shapes, tmp_path)
    assert ranks.finish(30) == [-signal.SIGKILL, 1]
    assert "rank 0 is gone" in ranks.said() and "Traceback" not in ranks.said()


@pytest.mark.skipif("SOAK" not in os.environ, reason="takes a minute; SOAK=1 runs it")
def test_torchrun_starts_a_run_anew_that_lost_a_rank(shapes, tmp_path):
    words = command(shapes, tmp_path, "--resume", **FAST)
    script = [str(ROOT / "tests" / "rank_main.py"), str(tmp_path / "said.txt")]
    launcher = [*TORCHRUN, "--nproc-per-node=2", "--max-restarts=1", *script, "once_killed_rank_1"]
    done = subprocess.run([*launcher, *words], env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model_final.pth").is_file()
    assert "Iterations 3 to 4" in (tmp_path / "said.txt").read_text()


def test_a_rank_that_does_not_answer_ends_the_run_within_the_time_out(shapes, tmp_path):
    ranks = faulty("frozen_rank_1", shapes, tmp_path, **{"DIST.TIMEOUT": 4})
    wait_for(lambda: not ranks.processes[0].is_alive(), 30)
    ranks.kill(1)
    assert ranks.finish() == [1, -signal.SIGKILL]
    assert re.search(r"rank 1 of 2 on \S+ (has not answered for 4 s|is gone)", ranks.said())


def test_a_rank_that_hangs_is_told_by_what_it_does(shapes, tmp_path):
    ranks = faulty("hanging_rank_1", shapes, tmp_path, **{"DIST.TIMEOUT": 3})
    assert ranks.finish(40) == [1, 1]
    assert re.search(r"DIST\.TIMEOUT, 3 s.*rank 1 of 2 on \S+: computing iteration 2", ranks.said())


def test_a_refusal_of_one_rank_in_an_evaluation_is_said_once_and_ends_all(shapes, tmp_path):
    ranks = faulty("raising_evaluation_of_rank_1", shapes, tmp_path)
    assert ranks.finish(40) == [1, 1]
    said = ranks.said()
    assert said.count("rank 1: gone.jpg is missing") == 1 and "Traceback" not in said
    assert said.count("The run ends: rank 1 ended the run: gone.jpg is missing") == 1


def test_an_evaluation_may_take_longer_than_the_time_out(shapes, tmp_path):
    ranks = faulty("slow_evaluation", shapes, tmp_path, **{"DIST.TIMEOUT": 3, "SOLVER.MAX_ITER": 1})
    ranks.succeed()
    assert "panoptic_seg/PQ" in metrics(tmp_path)[-1]


def test_a_refusal_that_all_ranks_meet_is_said_once(shapes, tmp_path):
    ranks = faulty("train", shapes, tmp_path, **{"SOLVER.IMS_PER_BATCH": 3})
    assert ranks.finish(40) == [1, 1]
    assert ranks.said().count("SOLVER.IMS_PER_BATCH is 3: it must be a multiple") == 1
    assert "Traceback" not in ranks.said()


def test_a_rank_that_is_told_to_stop_stops_all_and_one_rank_goes_on(shapes, tmp_path):
    ranks = faulty("told_to_stop", shapes, tmp_path, **{"SOLVER.MAX_ITER": 6})
    ranks.succeed()
    said = ranks.said()
    stopped = int(re.search(r"Stopped by SIGTERM after iteration (\d) of 6; go on", said)[1])
    assert stopped in (3, 4) and not (tmp_path / "model_final.pth").exists()
    assert (tmp_path / "last_checkpoint").read_text() == f"model_{stopped - 1:07d}.pth"
    changes = {**FAST, "SOLVER.MAX_ITER": 6, "SOLVER.IMS_PER_BATCH": 1, "SOLVER.ACCUMULATE": 2}
    again = Ranks(1, "train", command(shapes, tmp_path, "--resume", **changes), tmp_path)
    again.succeed()


def test_a_stop_during_an_evaluation_loses_nothing(shapes, tmp_path):
    changes = {"TEST.EVAL_PERIOD": 3, "SOLVER.CHECKPOINT_PERIOD": 50, "SOLVER.MAX_ITER": 50}
    ranks = faulty("stopped_in_evaluation", shapes, tmp_path, **changes)
    assert ranks.finish(40) == [0, 0], ranks.said()
    assert "Stopped by SIGTERM after iteration 3 of 50" in ranks.said()
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000002.pth"


def test_torchrun_saves_and_ends_on_sigterm(shapes, tmp_path):
    words = command(shapes, tmp_path, **{**FAST, "SOLVER.MAX_ITER": 1000})
    process = start(words, launcher=[*TORCHRUN, "--nproc-per-node=2"])
    wait_for(lambda: "iter 2," in logs(tmp_path))
    process.send_signal(signal.SIGTERM)
    said = finish(process, 30)
    assert "Stopped by SIGTERM after iteration" in said, said
    saved = (tmp_path / "last_checkpoint").read_text()
    assert torch.load(tmp_path / saved)["iteration"] >= 1


def test_what_num_gpus_starts_ends_with_who_started_it(shapes, tmp_path):
    words = command(shapes, tmp_path, "--num-gpus", "2", **{**FAST, "SOLVER.MAX_ITER": 1000})
    process = fork("main", "train", words, output=tmp_path / "said.txt")
    wait_for(lambda: "iter 2," in logs(tmp_path))
    process.kill()
    ranks = [int(pid) for pid in re.findall(r"\(pid (\d+)\)", logs(tmp_path))]
    assert len(ranks) == 2
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks), 30)
    assert "Stopped by SIGINT" in logs(tmp_path)


def logs(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("log.txt*"))


def test_parts_without_gradient_and_frozen_parts_train_on_two_ranks(shapes, tmp_path):
    changes = {
        "MODEL.KMAX_DEEPLAB.DEEP_SUPERVISION": False,
        "MODEL.KMAX_DEEPLAB.FREEZE": ["backbone", "sem_seg_head.pixel_decoder"],
    }
    Ranks(2, "train", command(shapes, tmp_path, **{**FAST, **changes}), tmp_path).succeed()
    before, after = (weights(tmp_path, f"model_{i:07d}.pth") for i in (1, 3))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [n for n in changed if n.startswith(("backbone.", "sem_seg_head.pixel_decoder."))]
    assert len(changed) > 50


def test_slurm_starts_ranks_too(shapes, tmp_path):
    words = command(shapes, tmp_path, **{**FAST, "SOLVER.MAX_ITER": 1})
    Ranks(2, "train", words, tmp_path, slurm=True).succeed()
    assert "process 2 of 2" in logs(tmp_path)


def test_weights_are_read_by_one_rank_and_shared(shapes, tmp_path):
    changes = {**FAST, "SOLVER.EMA.ENABLED": True}
    folders = [tmp_path / number for number in "12"]
    for folder in folders:
        folder.mkdir()
    Ranks(1, "train", command(shapes, folders[0], **changes), folders[0]).succeed()
    shutil.copy(folders[0] / "model_0000001.pth", folders[1])
    words = command(shapes, folders[1], "--resume", **changes)
    Ranks(2, "files_of_the_main_process_alone", words, folders[1]).succeed()
    one, two = (torch.load(folder / "model_final.pth") for folder in folders)
    for key in ("model", "ema"):
        torch.testing.assert_close(one[key], two[key], rtol=1e-2, atol=5e-2)
    weights = {"MODEL.WEIGHTS": folders[1] / "model_final.pth"}
    words = command(shapes, tmp_path, "--eval-only", **FAST, **weights)
    Ranks(2, "files_of_the_main_process_alone", words, tmp_path).succeed()


def test_nobody_outlives_a_killed_run(shapes, tmp_path):
    changes = {**FAST, "DATALOADER.NUM_WORKERS": 2, "SOLVER.MAX_ITER": 1000}
    (rank,) = (ranks := Ranks(1, "train", command(shapes, tmp_path, **changes), tmp_path)).processes
    wait_for(lambda: "iter 2," in logs(tmp_path))
    children = Path(f"/proc/{rank.pid}/task/{rank.pid}/children").read_text().split()
    ranks.kill(0)
    ranks.finish()
    assert len(children) >= 2
    with locked(tmp_path):  # at once: its loading processes, which still live, have no lock
        pass
    wait_for(lambda: not any(Path("/proc", child).exists() for child in children), 20)
