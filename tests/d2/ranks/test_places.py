"""Where a process finds its place: variables of torchrun, of SLURM, or none."""

import pytest

from kmax_deeplab.d2.ranks.places import Place, find_place, first_host

SLURM = {
    "SLURM_PROCID": "9",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
    "SLURM_STEP_NODELIST": "gpu[003-004]",
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_ID": "0",
}


def test_a_process_that_nobody_started_with_others_is_alone():
    assert find_place({"HOME": "/root"}) is None
    assert find_place({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert find_place({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}) is None
    batch = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}  # without srun
    assert find_place(batch) is None


def test_torchrun_says_rank_and_machine():
    found = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert find_place(found) == Place(5, 8, 1, 4)
    assert find_place({"RANK": "1", "WORLD_SIZE": "2"}) == Place(1, 2)  # Kubeflow: one a machine


def test_slurm_says_rank_machine_and_where_to_meet():
    place = find_place(SLURM)
    assert place == Place(9, 16, 1, 8, "tcp://gpu003:34567")
    chosen = {**SLURM, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
    assert find_place(chosen).address == "tcp://10.0.0.1:29500"


def test_torchrun_inside_of_a_slurm_job_goes_before_slurm():
    found = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    assert find_place({**SLURM, **found}) == Place(0, 2, 0, 2)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu1", "gpu1"),
        ("gpu[003-004,7],cpu1", "gpu003"),
        ("a,b", "a"),
        ("r[1,3]n.cluster", "r1n.cluster"),
    ],
)
def test_the_first_host_of_a_list_of_nodes(nodes, host):
    assert first_host(nodes) == host


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID is 'x'"),
        ({"SLURM_PROCID": "16"}, "contradict"),
        ({"SLURM_STEP_TASKS_PER_NODE": "8,4"}, "different numbers of tasks, 8,4"),
        ({"SLURM_STEP_NODELIST": ""}, "set MASTER_ADDR"),
    ],
)
def test_variables_that_cannot_be_are_named(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        find_place({**SLURM, **changes})
