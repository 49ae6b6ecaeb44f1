"""How a run stands, at any time: its storage of figures enters, lines for people leave.

Figures beside the losses: images a second, memory, gradient, skipped steps, and the share of the
time that goes into waiting for data and into evaluation.
"""

import datetime
import logging
import time

import torch
from detectron2.engine import HookBase
from detectron2.utils.events import EventStorage

from kmax_deeplab.benchmark.profiling import peak_bytes
from kmax_deeplab.d2.engine.figures import WINDOW

logger = logging.getLogger(__name__)

EARLY = (1, 2, 5, 10)
"""Iterations of this process after which a line is printed before the usual period begins."""
LOSSES = {
    "class": "loss_ce",
    "mask": "loss_mask",
    "dice": "loss_dice",
    "pixels": "loss_pixel_insdis",
    "semantic": "loss_aux_semantic",
}
"""What a line calls the losses of the final prediction."""


class Health(HookBase):
    """Measures what the losses do not tell.

    Args:
        images: of a step, over all ranks.
        device: whose memory is told.
        period: iterations between two measurements, after the early ones.
    """

    def __init__(self, images: int, device: torch.device, period: int = WINDOW) -> None:
        self._images, self._device, self._period = images, device, period

    def before_train(self) -> None:
        """Waits for the first iteration."""
        self._began: float | None = None

    def after_step(self) -> None:
        """Writes the figures when a line is due; of speed, from the second iteration on."""
        if is_due(self.trainer, self._period):
            memory = peak_bytes(self._device) / 2**30
            self.trainer.storage.put_scalar("memory_gb", memory, smoothing_hint=False)
            if self._began is not None:
                self._write_speed()
        if self._began is None:
            self._start()

    def _start(self) -> None:
        """Starts the clock after the first iteration, which also starts loaders and compiles."""
        self._began, self._first = time.perf_counter(), self.trainer.iter
        self._evaluated_before = self.trainer.evaluation_seconds

    def _write_speed(self) -> None:
        elapsed = time.perf_counter() - self._began
        evaluating = self.trainer.evaluation_seconds - self._evaluated_before
        done = self.trainer.iter - self._first
        left = self.trainer.max_iter - self.trainer.iter - 1
        self.trainer.storage.put_scalars(
            images_per_second=self._images * done / (elapsed - evaluating),
            evaluation_share=evaluating / elapsed,
            eta_seconds=elapsed / done * left,
            smoothing_hint=False,
        )


class Lines(HookBase):
    """Logs a line of `describe` at the usual period, and early.

    Args:
        period: iterations between two lines.
    """

    def __init__(self, period: int = WINDOW) -> None:
        self._period = period

    def after_step(self) -> None:
        """Logs where a line is due."""
        if is_due(self.trainer, self._period):
            logger.info(describe(self.trainer.storage))


def is_due(trainer: HookBase, period: int) -> bool:
    """Returns whether a line is due after the iteration at hand."""
    done = trainer.iter + 1
    is_usual = done % period == 0 or done == trainer.max_iter
    return is_usual or done - trainer.start_iter in EARLY


def describe(storage: EventStorage) -> str:
    """Describes the last iterations: medians of losses, means of times, the newest of others."""
    found = storage.histories()

    def newest(name: str) -> float:
        return found[name].latest() if name in found else 0.0

    parts = [f"iter {storage.iter + 1}"]
    if "eta_seconds" in found:
        parts.append(f"eta {datetime.timedelta(seconds=int(newest('eta_seconds')))}")
    if "total_loss" in found:
        parts.append(f"loss {found['total_loss'].median(WINDOW):.4g}")
        named = {short: found[name] for short, name in LOSSES.items() if name in found}
        parts[-1] += f" ({', '.join(f'{n} {h.median(WINDOW):.3g}' for n, h in named.items())})"
    parts.append(f"lr {newest('lr'):.3g}")
    parts.append(f"gradient {newest('gradient_norm'):.3g}")
    if newest("skipped_steps"):
        parts.append(f"skipped {newest('skipped_steps'):.0f}")
    if "time" in found:
        data = found["data_time"].avg(WINDOW) if "data_time" in found else 0.0
        parts.append(f"{found['time'].avg(WINDOW):.3g} s (data {data:.2g})")
    if "images_per_second" in found:
        parts.append(f"{newest('images_per_second'):.3g} images/s")
    parts.append(f"{newest('memory_gb'):.3g} GB")
    if newest("evaluation_share"):
        parts.append(f"evaluation {newest('evaluation_share'):.0%}")
    return ", ".join(parts)
