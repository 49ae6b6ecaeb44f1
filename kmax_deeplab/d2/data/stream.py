"""The training data as an endless stream in which everything follows from (seed, position).

In: dataset records, the train mapper, a seed. Out: a DataLoader of this process's batches that can
start at any position: order, augmentation and copy-paste partners do not depend on what ran
before, on the number of processes or on the number of workers, so nothing has to be saved to
resume.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler


def derive_seed(*parts: int) -> int:
    """Mixes non-negative integers into one 32-bit seed; any change of any part changes it."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class TrainingStream(Dataset):
    """Maps every position 0, 1, 2, … of an endless sequence of shuffled epochs to a sample."""

    def __init__(self, records: Sequence[dict], mapper: Callable[..., dict], seed: int) -> None:
        """Stores what a position is made of.

        Args:
            records: dataset records in catalog order.
            mapper: called as `mapper(record, seed=int)`, a function of its arguments alone.
            seed: seed of the run.
        """
        self._records = records
        self._mapper = mapper
        self._seed = seed
        self._shuffled = (-1, np.empty(0, dtype=np.int64))  # last used epoch and its order

    def __getitem__(self, position: int) -> dict:
        epoch, index = divmod(position, len(self._records))
        record = self._records[int(self._order(epoch)[index])]
        return self._mapper(record, seed=derive_seed(self._seed, position))

    def _order(self, epoch: int) -> np.ndarray:
        if self._shuffled[0] != epoch:
            rng = np.random.default_rng(derive_seed(self._seed, epoch))
            self._shuffled = (epoch, rng.permutation(len(self._records)))
        return self._shuffled[1]


@dataclass(frozen=True)
class BatchPlan:
    """Which positions of the stream belong to which process and batch.

    Attributes:
        total: images of a batch over all processes.
        rank: number of this process.
        world_size: number of processes.
        first_position: of the first batch.
    """

    total: int
    rank: int
    world_size: int
    first_position: int = 0

    def __post_init__(self) -> None:
        if self.total < 1 or self.total % self.world_size:
            raise ValueError(
                f"SOLVER.IMS_PER_BATCH is {self.total}: it must be a positive multiple of the "
                f"number of processes, {self.world_size}"
            )

    @property
    def per_process(self) -> int:
        """Images of a batch in one process."""
        return self.total // self.world_size

    def positions(self) -> Iterator[int]:
        """Yields this process's positions of one batch after the other, without end."""
        own = self.first_position + self.rank * self.per_process
        for first in itertools.count(own, self.total):
            yield from range(first, first + self.per_process)


class PlanSampler(Sampler[int]):
    """Hands the positions of a plan to a DataLoader."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def __iter__(self) -> Iterator[int]:
        return self.plan.positions()


def make_loader(dataset: Dataset, sampler: Sampler, batch: int, workers: int) -> DataLoader:
    """Builds a loader of lists of samples; where there is a GPU, in memory that it copies from.

    Args:
        dataset: of dicts.
        sampler: which of them, in which order.
        batch: samples of a list; the last one may be shorter.
        workers: loading processes, each with one thread; 0 loads in this one.
    """
    return DataLoader(
        dataset,
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=trivial_batch_collator,
        worker_init_fn=_use_one_thread,
        pin_memory=torch.cuda.is_available(),
        # Without a generator of its own the loader would draw from the model's random numbers.
        generator=torch.Generator(),
    )


def _use_one_thread(worker: int) -> None:
    """Keeps OpenCV in a worker to one thread, as PyTorch keeps itself: workers are the threads."""
    cv2.setNumThreads(0)


def build_stream_loader(
    stream: TrainingStream, total_batch_size: int, first_position: int = 0, num_workers: int = 0
) -> DataLoader:
    """Builds the loader of this process; each item is the list of its samples of one batch.

    Args:
        stream: samples by position.
        total_batch_size: images of a batch over all processes.
        first_position: of the first batch.
        num_workers: loading processes; 0 loads in this one. The data is the same for any number.

    Raises:
        ValueError: the batch cannot be shared out evenly.
    """
    plan = BatchPlan(total_batch_size, comm.get_rank(), comm.get_world_size(), first_position)
    return make_loader(stream, PlanSampler(plan), plan.per_process, num_workers)
