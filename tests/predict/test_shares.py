"""Processes that do not know each other share images, whoever started them."""

from pathlib import Path

import pytest
import torch

from kmax_deeplab.predict.shares import Share, find_share, take_gpu

NAMED = {name: Path(f"{name}.jpg") for name in "bdacefg"}
ARRAY = {
    "SLURM_ARRAY_TASK_ID": "5",
    "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_ARRAY_TASK_MIN": "3",
}


def test_every_image_is_in_one_share_whatever_the_order_of_the_command_line():
    shares = [Share(number, 3).of(NAMED) for number in (1, 2, 3)]
    assert [list(share) for share in shares] == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    turned = dict(reversed(NAMED.items()))
    assert [Share(number, 3).of(turned) for number in (1, 2, 3)] == shares
    assert Share(9, 9).of(NAMED) == {}


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, Share(1, 1)),
        ({"RANK": "0", "WORLD_SIZE": "2"}, Share(1, 2)),
        ({"RANK": "3"}, Share(1, 1)),
        ({"SLURM_PROCID": "7", "SLURM_NTASKS": "8"}, Share(8, 8)),
        (ARRAY, Share(3, 4)),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_STEP": "2"}, Share(4, 4)),
        ({**ARRAY, "RANK": "1", "WORLD_SIZE": "2"}, Share(6, 8)),
        ({"RANK": "1", "WORLD_SIZE": "8", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, Share(2, 8)),
    ],
)
def test_the_launcher_says_which_share_it_is(environment, share):
    assert find_share(None, environment) == share


def test_what_a_person_says_counts_more_than_the_launcher():
    assert find_share("2/8", {"RANK": "0", "WORLD_SIZE": "2"}) == Share(2, 8)


def test_a_batch_script_without_srun_is_one_process_however_many_tasks_it_may_start():
    words = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}
    assert find_share(None, words) == Share(1, 1)
    assert find_share(None, {**words, "SLURM_STEP_ID": "0"}) == Share(1, 8)


def test_array_and_processes_cover_all_shares_once():
    found = [
        find_share(
            None,
            {**ARRAY, "SLURM_ARRAY_TASK_ID": str(task), "RANK": str(rank), "WORLD_SIZE": "2"},
        )
        for task in (3, 4, 5, 6)
        for rank in (0, 1)
    ]
    assert found == [Share(number, 8) for number in range(1, 9)]


@pytest.mark.parametrize("text", ["9/8", "0/8", "x", "", "1/", "-1/8", "1/8/2", "²/3", "0/0"])
def test_a_share_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=r"--share .* cannot be: write 2/8"):
        find_share(text, {})


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x', no whole number"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2 and WORLD_SIZE 2"),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "9"}, "not numbered evenly.*--share 1/4"),
        ({**ARRAY, "SLURM_ARRAY_TASK_STEP": "4"}, "not numbered evenly"),
    ],
)
def test_a_launcher_that_contradicts_itself_is_refused(environment, complaint):
    with pytest.raises(ValueError, match=complaint):
        find_share(None, environment)


@pytest.mark.parametrize(
    ("environment", "taken"),
    [
        ({"LOCAL_RANK": "1"}, [1]),
        ({"SLURM_LOCALID": "3"}, [1]),
        ({"LOCAL_RANK": "0", "SLURM_LOCALID": "1"}, [0]),
        ({}, []),
    ],
)
def test_every_process_of_a_machine_takes_its_own_gpu(environment, taken, monkeypatch):
    found = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    take_gpu(environment)
    assert found == taken


def test_where_there_is_no_gpu_none_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    take_gpu({"LOCAL_RANK": "1"})
