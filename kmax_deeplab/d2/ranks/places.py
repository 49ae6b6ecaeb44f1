"""Which process of a run this one is: an environment enters, its place among the others leaves.

torchrun, Kubeflow and Ray set RANK and WORLD_SIZE, SLURM its own variables; `--num-gpus` sets the
former for the processes that it starts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

PORT = 20000
"""Least port that the processes of a SLURM job meet at; the job's number is added."""
PORTS = 20000


@dataclass(frozen=True)
class Place:
    """A process among the others.

    Attributes:
        rank: its number.
        world_size: of how many.
        local_rank: its number on this machine.
        local_size: of how many there.
        address: where all meet, as `torch.distributed.init_process_group` takes it.
    """

    rank: int
    world_size: int
    local_rank: int = 0
    local_size: int = 1
    address: str = "env://"


def find_place(environment: Mapping[str, str]) -> Place | None:
    """Reads the place that a launcher gave this process; None if it is alone.

    Raises:
        ValueError: variables contradict each other or are no numbers.
    """
    if {"RANK", "WORLD_SIZE"} <= environment.keys():
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        defaults = ("0", "1", "0", "1")
        found = [environment.get(*pair) for pair in zip(names, defaults, strict=True)]
        place = Place(*_whole(names, found), environment.get("DIST_URL", "env://"))
    elif "SLURM_PROCID" in environment and not _is_batch_script(environment):
        place = _find_in_slurm(environment)
    else:
        return None
    if not (0 <= place.rank < place.world_size and 0 <= place.local_rank < place.local_size):
        raise ValueError(f"the launcher's variables contradict each other: {place}")
    return place if place.world_size > 1 else None


def _find_in_slurm(environment: Mapping[str, str]) -> Place:
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS", "1")
    names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
    found = (environment["SLURM_PROCID"], tasks, environment.get("SLURM_LOCALID", "0"))
    rank, world_size, local_rank = _whole(names, found)
    if world_size == 1:
        return Place(rank, world_size)
    per_node = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get(
        "SLURM_TASKS_PER_NODE", str(world_size)
    )
    equal = re.fullmatch(r"(\d+)(\(x\d+\))?", per_node)  # "8(x4)": 8 on each of 4
    if not equal:
        raise ValueError(f"SLURM gives machines different numbers of tasks, {per_node}: give equal")
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    host = environment.get("MASTER_ADDR") or first_host(nodes)
    (job,) = _whole(["SLURM_JOB_ID"], [environment.get("SLURM_JOB_ID", "0")])
    port = environment.get("MASTER_PORT") or PORT + job % PORTS
    return Place(rank, world_size, local_rank, int(equal[1]), f"tcp://{host}:{port}")


def _is_batch_script(environment: Mapping[str, str]) -> bool:
    """Returns whether SLURM started one process alone, however many tasks srun could start."""
    return "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment


def first_host(nodes: str) -> str:
    """Returns the first host of a SLURM list, `gpu[003-004,7],cpu1`.

    Raises:
        ValueError: there is none.
    """
    found = re.match(r"([^,\[]+)(?:\[(\w+)[^\]]*\]([^,]*))?", nodes)
    if not found:
        raise ValueError(f"SLURM's list of nodes is {nodes!r}: set MASTER_ADDR to the first host")
    return "".join(part or "" for part in found.groups())


def _whole(names: list[str] | tuple[str, ...], values: list[str] | tuple[str, ...]) -> list[int]:
    for name, value in zip(names, values, strict=True):
        if not value.isdecimal():
            raise ValueError(f"the environment variable {name} is {value!r}: it must be a number")
    return [int(value) for value in values]
