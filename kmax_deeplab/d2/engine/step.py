"""One training step, in full or mixed precision, on any device.

A batch enters, updated parameters leave. On a GPU the host waits for the device at the matching
alone: losses are read every `GPU_PERIOD` iterations.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.optim import Optimizer

from kmax_deeplab.d2.engine.hooks import EARLY

logger = logging.getLogger(__name__)

GPU_PERIOD = 20
"""Iterations between two readings of the losses on a GPU; Detectron2 writes as often."""
LEAST_SCALE = 2.0**-14
"""Of float16's gradients: thirty steps in a row that overflow lead there from the first scale."""


def build_step(cfg: CfgNode, model: nn.Module, optimizer: Optimizer) -> SimpleTrainer:
    """Builds the training step in the precision that SOLVER.AMP asks for."""
    device = next(model.parameters()).device
    period = GPU_PERIOD if device.type == "cuda" else 1
    if not cfg.SOLVER.AMP.ENABLED:
        return Step(model, None, optimizer, gather_metric_period=period)
    return MixedPrecisionStep(model, optimizer, getattr(torch, cfg.SOLVER.AMP.DTYPE), period)


class Step(SimpleTrainer):
    """Detectron2's step in float32, whose losses are read early, then at their period.

    Raises:
        FloatingPointError: the losses that are read are NaN or infinite.
    """

    steps = 0

    def _write_metrics(
        self, loss_dict: dict[str, Tensor], data_time: float, prefix: str = "", **_: int
    ) -> None:
        self.steps += 1
        if self.steps in EARLY or (self.iter + 1) % self.gather_metric_period == 0:
            self.write_metrics(loss_dict, data_time, self.iter, prefix)


class MixedPrecisionStep(Step, AMPTrainer):
    """Step under autocast, on any device.

    float16's gradients are scaled, and a step whose loss or gradient is not finite changes nothing,
    the running statistics of norms included, but the scale, which halves.

    Args:
        model: on its device.
        optimizer: of its parameters.
        dtype: float16 or bfloat16.
        period: iterations between two readings of the losses.

    Raises:
        FloatingPointError: bfloat16's losses are NaN or infinite, or float16's nearly always.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, dtype: torch.dtype, period: int = 1
    ) -> None:
        self.device = next(model.parameters()).device
        scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)
        super().__init__(
            *(model, None, optimizer),
            gather_metric_period=period,
            grad_scaler=scaler,
            precision=dtype,
        )
        self.statistics = [b for b in model.buffers() if b.is_floating_point()]
        self.before = [torch.empty_like(b) for b in self.statistics]
        self.skipped = 0

    def run_step(self) -> None:
        """Runs one iteration."""
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        if self.grad_scaler.is_enabled():
            _copy(self.statistics, self.before)
        with torch.autocast(self.device.type, self.precision):
            losses = self.model(data)
            total = sum(losses.values())
        is_finite = _HostFlag(total.detach().isfinite())
        self.optimizer.zero_grad()
        self.grad_scaler.scale(total).backward()
        self.after_backward()
        self._write_metrics(losses, data_time)
        self.grad_scaler.unscale_(self.optimizer)  # a fused one would clip scaled gradients
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        if self.grad_scaler.is_enabled() and not is_finite.read():
            self._skip()

    def write_metrics(
        self, loss_dict: dict[str, Tensor], data_time: float, cur_iter: int, prefix: str = ""
    ) -> None:
        """Writes losses as Detectron2 does, and for float16 the scale and the skipped steps."""
        is_scaled = self.grad_scaler.is_enabled()
        try:
            SimpleTrainer.write_metrics(loss_dict, data_time, cur_iter, prefix)
        except FloatingPointError:
            if not is_scaled:
                raise
        if is_scaled:
            scale = self.grad_scaler.get_scale()
            get_event_storage().put_scalars(gradient_scale=scale, skipped_steps=self.skipped)
            if scale < LEAST_SCALE:  # the same in all processes
                raise FloatingPointError(
                    f"hardly a step of the last ones was finite in float16: {self.skipped} skipped "
                    f"by this process, and gradients scaled by {scale}; SOLVER.AMP.DTYPE bfloat16 "
                    "has the range of float32"
                )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the scale of a run in float16; one of another precision has none."""
        SimpleTrainer.load_state_dict(self, state_dict)
        if state_dict.get("grad_scaler"):
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])

    def _skip(self) -> None:
        """Counts a step whose loss was not finite; its gradients were ignored by the scaler."""
        _copy(self.before, self.statistics)
        self.skipped += 1
        logger.warning(
            "Iteration %d: the loss is not finite in float16. The step is skipped; %d so far.",
            *(self.iter + 1, self.skipped),
        )


class _HostFlag:
    """A condition that the device computes and the host reads later, waiting for no more."""

    def __init__(self, value: Tensor) -> None:
        self._value, self._event = value, None
        if value.is_cuda:
            self._value = torch.empty((), dtype=torch.bool, pin_memory=True)
            self._value.copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> bool:
        if self._event is not None:
            self._event.synchronize()
        return bool(self._value)


@torch.no_grad()
def _copy(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    torch._foreach_copy_(list(targets), list(sources))  # hundreds of small tensors, a few kernels
