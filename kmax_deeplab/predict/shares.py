"""Many processes predict one set of images: an environment or a word enters, a share leaves.

No process waits for another: images are shared out by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Name = TypeVar("Name")


@dataclass(frozen=True)
class Share:
    """One of `count` shares.

    Attributes:
        index: which, from 0.
        count: how many there are.
        local: number of this process on its machine, to choose a GPU by.

    Raises:
        ValueError: there is no such share.
    """

    index: int = 0
    count: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"share {self.index + 1} of {self.count}: there is none")

    def of(self, names: Sequence[Name]) -> list[Name]:
        """Returns those that this share has, whatever order they come in."""
        return sorted(names)[self.index :: self.count]


def read_share(word: str) -> Share:
    """Reads "2/8", the second of eight.

    Raises:
        ValueError: it cannot be.
    """
    parts = re.fullmatch(r"(\d+)/(\d+)", word)
    if not parts:
        raise ValueError(f"--share {word!r}: write 2/8 for the second of eight shares")
    return Share(int(parts[1]) - 1, int(parts[2]))


def find_share(environment: Mapping[str, str]) -> Share:
    """Reads which share a launcher gave this process: torchrun, a SLURM array, or SLURM's srun.

    Raises:
        ValueError: its variables contradict each other.
    """

    def number(name: str, default: int) -> int:
        return int(environment.get(name, default))

    if {"RANK", "WORLD_SIZE"} <= environment.keys():
        return Share(number("RANK", 0), number("WORLD_SIZE", 1), number("LOCAL_RANK", 0))
    if "SLURM_ARRAY_TASK_COUNT" in environment:
        first = number("SLURM_ARRAY_TASK_ID", 0) - number("SLURM_ARRAY_TASK_MIN", 0)
        index = first // number("SLURM_ARRAY_TASK_STEP", 1)
        return Share(index, number("SLURM_ARRAY_TASK_COUNT", 1))
    if "SLURM_PROCID" in environment:
        count = number("SLURM_STEP_NUM_TASKS", number("SLURM_NTASKS", 1))
        return Share(number("SLURM_PROCID", 0), count, number("SLURM_LOCALID", 0))
    return Share()
