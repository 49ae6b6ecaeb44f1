"""Where the time goes: stages of the work enter as they run, milliseconds an image leave."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Watch = Callable[[str], AbstractContextManager]
"""Entered with the name of a stage while it runs."""
STAGES = ("read", "resize", "network", "merge", "write")
"""In the order in which an image goes through them."""
BESIDE = ("read", "write")
"""Those that threads do beside the rest."""


def unwatched(stage: str) -> AbstractContextManager:
    """Watches nothing."""
    return nullcontext()


class Stages:
    """Seconds that each stage took, summed over all threads.

    Args:
        threads: that read, and as many that write, beside the one that predicts; 0: it does all.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.seconds: Counter[str] = Counter()
        self._lock, self._start = threading.Lock(), time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Watches a stage while it runs."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.perf_counter() - start

    def describe(self, images: int) -> str:
        """Says what each stage took of every image, and what was waited for.

        Args:
            images: that went through all stages.
        """
        wall, per_image = time.perf_counter() - self._start, 1e3 / max(images, 1)
        own = sum(self.seconds[stage] for stage in STAGES if not self._is_beside(stage))
        rows = [(stage, self.seconds[stage], self._where(stage)) for stage in STAGES]
        rows.append(("the rest", max(wall - own, 0.0), "predicting thread, waiting"))
        lines = [
            f"{stage:<9}{seconds * per_image:9.1f} ms  {where}" for stage, seconds, where in rows
        ]
        whole = f"{images} images in {wall:.1f} s, {wall * per_image:.1f} ms each; of each image:"
        return "\n".join([whole, *lines])

    def _is_beside(self, stage: str) -> bool:
        return self.threads > 0 and stage in BESIDE

    def _where(self, stage: str) -> str:
        if not self._is_beside(stage):
            return "predicting thread"
        return f"beside it, summed over up to {self.threads} threads"
