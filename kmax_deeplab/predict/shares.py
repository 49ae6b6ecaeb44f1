"""Which images and which GPU are a process's own: the words of its launcher enter.

Processes need not know each other: each sorts the names of all images, and takes every n-th.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Share:
    """One of so many parts of a work.

    Attributes:
        number: from 1.
        count: of all parts.
    """

    number: int = 1
    count: int = 1

    def of(self, named: Mapping[str, Entry]) -> dict[str, Entry]:
        """Returns the entries that are this share's, in the order of their names."""
        return {name: named[name] for name in sorted(named)[self.number - 1 :: self.count]}

    def within(self, outer: "Share") -> "Share":
        """Returns which share of the whole this share of another one is."""
        return Share((outer.number - 1) * self.count + self.number, outer.count * self.count)


def find_share(text: str | None, environment: Mapping[str, str]) -> Share:
    """Finds out the share of this process.

    Args:
        text: as the user says it, 2/8 for instance; None: as the launcher does.
        environment: variables of the process. Tasks of a SLURM array share the images, and the
            processes of a task, started by torchrun or srun, that task's.

    Raises:
        ValueError: there cannot be such a share.
    """
    return (
        _read(text) if text is not None else _process(environment).within(array_share(environment))
    )


def take_gpu(environment: Mapping[str, str]) -> None:
    """Makes the GPU of this process's place on its machine the one it computes on, if there is one.

    Raises:
        ValueError: the launcher's number is none.
    """
    name = "LOCAL_RANK" if "LOCAL_RANK" in environment else "SLURM_LOCALID"
    if name in environment and torch.cuda.is_available():
        torch.cuda.set_device(_number(environment, name) % torch.cuda.device_count())


def _read(text: str) -> Share:
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"--share {text} cannot be: write 2/8 for the second of eight shares")
    return Share(number, count)


def array_share(environment: Mapping[str, str]) -> Share:
    """Returns the share of a task of a SLURM array; of other processes there is one.

    Raises:
        ValueError: the tasks of the array are not numbered evenly.
    """
    names = [f"SLURM_ARRAY_TASK_{word}" for word in ("ID", "COUNT", "MIN")]
    if not all(name in environment for name in names):
        return Share()
    task, count, first = (_number(environment, name) for name in names)
    step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
    index, rest = divmod(task - first, max(step, 1))
    if rest or not 0 <= index < count:
        raise ValueError(
            f"task {task} of a SLURM array of {count} from {first} on: its tasks are not numbered "
            f"evenly, so say which share each has, for instance --share 1/{count}"
        )
    return Share(index + 1, count)


def _process(environment: Mapping[str, str]) -> Share:
    for rank, size in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank not in environment or size not in environment:
            continue
        if rank == "SLURM_PROCID" and _is_batch_script(environment):
            continue
        index, count = _number(environment, rank), _number(environment, size)
        if index >= count:
            raise ValueError(f"{rank} is {index} and {size} {count}: use --share, e.g. --share 1/2")
        return Share(index + 1, count)
    return Share()


def _is_batch_script(environment: Mapping[str, str]) -> bool:
    """Returns whether SLURM started one process alone, however many tasks srun could start."""
    return "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment


def _number(environment: Mapping[str, str], name: str, default: int = 0) -> int:
    text = environment.get(name, str(default))
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise ValueError(f"the environment variable {name} is {text!r}, no whole number from 0")
    return int(text)
