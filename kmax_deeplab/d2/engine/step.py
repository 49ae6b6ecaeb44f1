"""One training step, in full or mixed precision, on any device and any number of ranks.

Batches enter, updated parameters leave. What is not finite in any rank changes nothing in all of
them. On a GPU the host waits for the device twice: at the matching, and for the gradient's norm
while the parameters are updated.
"""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.optim import Optimizer

from kmax_deeplab.d2.engine.figures import WINDOW
from kmax_deeplab.d2.engine.health import EARLY
from kmax_deeplab.d2.ranks.group import tell

logger = logging.getLogger(__name__)

FIRST_SCALE = 2.0**16
"""Of float16's gradients, as PyTorch has it; others are not scaled."""
SKIPPED = "skipped"
"""Folder of the batches of skipped steps."""

Batch = list[dict[str, Any]]


def build_step(cfg: CfgNode, model: nn.Module, optimizer: Optimizer) -> "Step":
    """Builds the training step as SOLVER.* asks for it."""
    solver = cfg.SOLVER
    device = next(model.parameters()).device
    return Step(
        model,
        optimizer,
        dtype=getattr(torch, solver.AMP.DTYPE) if solver.AMP.ENABLED else torch.float32,
        accumulate=solver.ACCUMULATE,
        period=WINDOW if device.type == "cuda" else 1,
        most_skipped=solver.MAX_SKIPPED_STEPS,
        keep_skipped=Path(cfg.OUTPUT_DIR, SKIPPED) if solver.KEEP_SKIPPED_BATCHES else None,
        some_unused=has_unused_parameters(cfg),
    )


def has_unused_parameters(cfg: CfgNode) -> bool:
    """Returns whether parameters get no gradient: the class heads of layers without losses."""
    return not cfg.MODEL.KMAX_DEEPLAB.DEEP_SUPERVISION


class Step(SimpleTrainer):
    """Gradients of some batches, then an update; skipped, in all ranks, if they are not finite.

    Args:
        model: on its device, answers a batch with {name: weighted loss}.
        optimizer: of its parameters.
        dtype: of the network's forward pass; float32 is no autocast, float16's gradients are
            scaled.
        accumulate: batches of an update, whose losses are averaged.
        period: iterations between two readings of the losses, after the first ones.
        most_skipped: steps in a row that may be skipped.
        keep_skipped: folder for batches whose losses are not finite; None keeps none.
        some_unused: whether parameters may get no gradient.

    Raises:
        FloatingPointError: more steps in a row were not finite.
        ValueError: a parameter gets no gradient.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        dtype: torch.dtype = torch.float32,
        accumulate: int = 1,
        period: int = 1,
        most_skipped: int = 30,
        keep_skipped: Path | None = None,
        some_unused: bool = False,
    ) -> None:
        super().__init__(model, None, optimizer, gather_metric_period=period)
        self.device = next(model.parameters()).device
        self.dtype, self.accumulate = dtype, accumulate
        self.is_scaled = dtype == torch.float16
        first = FIRST_SCALE if self.is_scaled else 1.0
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=first)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.statistics = [b for b in model.buffers() if b.is_floating_point()]
        self.before = [torch.empty_like(b) for b in self.statistics]
        self.most_skipped, self.keep_skipped = most_skipped, keep_skipped
        self.some_unused = some_unused
        self.steps = self.skipped = self.skipped_in_row = 0

    def run_step(self) -> None:
        """Runs one iteration."""
        _copy(self.statistics, self.before)
        self.optimizer.zero_grad()
        batches, losses, data_time = [], [], 0.0
        for part in range(self.accumulate):
            batch, seconds = self._next_batch()
            is_last = part == self.accumulate - 1
            losses.append(self._add_gradients(batch, is_last=is_last))
            batches.append(batch)
            data_time += seconds
        self.after_backward()
        self._require_gradients()
        norm = self._update().read()
        if math.isfinite(norm):
            self.skipped_in_row = 0
        else:
            self._skip(batches, losses)
        self._record(losses, norm, data_time)

    def state_dict(self) -> dict[str, Any]:
        """Adds the counts of skipped steps and, for float16, the scale of gradients."""
        counts = {"skipped": self.skipped, "skipped_in_row": self.skipped_in_row}
        scale = {"grad_scaler": self.scaler.state_dict()} if self.is_scaled else {}
        return super().state_dict() | counts | scale

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the scale of a run in float16; one of another precision has none."""
        super().load_state_dict(state_dict)
        self.skipped = state_dict.get("skipped", 0)
        self.skipped_in_row = state_dict.get("skipped_in_row", 0)
        if self.is_scaled and state_dict.get("grad_scaler"):
            self.scaler.load_state_dict(state_dict["grad_scaler"])

    def _next_batch(self) -> tuple[Batch, float]:
        start = time.perf_counter()
        tell(f"waiting for the data of iteration {self.iter + 1}")
        batch = next(self._data_loader_iter)
        tell(f"computing iteration {self.iter + 1}")
        return batch, time.perf_counter() - start

    def _add_gradients(self, batch: Batch, *, is_last: bool) -> dict[str, Tensor]:
        """Adds a batch's gradients to those at hand; the last time they are averaged over ranks."""
        alone = not is_last and hasattr(self.model, "no_sync")
        with self.model.no_sync() if alone else nullcontext():
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                losses = self.model(batch)
            self.scaler.scale(sum(losses.values()) / self.accumulate).backward()
        return {name: loss.detach() for name, loss in losses.items()}

    def _update(self) -> "HostNumber":
        """Updates the parameters unless a gradient is not finite; returns the gradient's norm."""
        self.scaler.unscale_(self.optimizer)  # a fused one would clip scaled gradients
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = HostNumber(torch.nn.utils.get_total_norm(gradients, foreach=True))
        self.scaler.step(self.optimizer)
        self.scaler.update(None if self.is_scaled else 1.0)
        return norm

    def _require_gradients(self) -> None:
        """Names, at the first step, parameters that take part in nothing."""
        self.steps += 1
        if self.steps > 1 or self.some_unused:
            return
        names = [n for n, p in self.model.named_parameters() if p.requires_grad and p.grad is None]
        if names:
            raise ValueError(
                f"{len(names)} parameters get no gradient, e.g. {', '.join(names[:3])}: nothing "
                "that they compute reaches a loss. Freeze them (MODEL.KMAX_DEEPLAB.FREEZE) or take "
                "them out"
            )

    def _skip(self, batches: list[Batch], losses: list[dict[str, Tensor]]) -> None:
        """Undoes what the forward pass changed, counts and says whose losses are not finite."""
        _copy(self.before, self.statistics)
        self.skipped += 1
        self.skipped_in_row += 1
        bad = [{name for name, loss in found.items() if not loss.isfinite()} for found in losses]
        own = [x for batch, names in zip(batches, bad, strict=True) if names for x in batch]
        if own and self.keep_skipped:
            self.keep_skipped.mkdir(parents=True, exist_ok=True)
            name = f"iteration_{self.iter + 1:07d}_rank_{comm.get_rank()}.pth"
            torch.save(batches, self.keep_skipped / name)
        ids = [x.get("image_id") if isinstance(x, Mapping) else None for x in own]
        found = comm.all_gather((set().union(*bad), ids))
        kinds = sorted(set().union(*(names for names, _ in found)))
        fault = f"{', '.join(kinds) or 'gradient'} not finite in {str(self.dtype)[6:]}"
        where = "; ".join(f"rank {rank}, images {x}" for rank, (_, x) in enumerate(found) if x)
        logger.warning(
            "Iteration %d: %s%s. The step is skipped; %d so far, %d in a row.",
            *(self.iter + 1, fault, f" ({where})" if where else ""),
            *(self.skipped, self.skipped_in_row),
        )
        if self.skipped_in_row > self.most_skipped:
            raise FloatingPointError(
                f"{self.skipped_in_row} steps in a row were not finite, the last one at iteration "
                f"{self.iter + 1}: {fault}"
                + (". SOLVER.AMP.DTYPE bfloat16 has the range of float32" * self.is_scaled)
            )

    def _record(self, losses: list[dict[str, Tensor]], norm: float, data_time: float) -> None:
        """Writes when it is time; losses and gradient of a step that was not skipped."""
        if self.steps not in EARLY and (self.iter + 1) % self.gather_metric_period:
            return
        storage = get_event_storage()
        storage.put_scalar("skipped_steps", self.skipped)
        if self.is_scaled:
            storage.put_scalar("gradient_scale", self.scaler.get_scale())
        if math.isfinite(norm):
            storage.put_scalar("gradient_norm", norm)
            means = {n: torch.stack([x[n] for x in losses]).mean() for n in losses[0]}
            self.write_metrics(means, data_time, self.iter)


class HostNumber:
    """A number that the device computes and the host reads later, waiting for no more."""

    def __init__(self, value: Tensor) -> None:
        self._value, self._event = value.float(), None
        if value.is_cuda:
            self._value = torch.empty((), dtype=torch.float32, pin_memory=True)
            self._value.copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> float:
        """Returns it."""
        if self._event is not None:
            self._event.synchronize()
        return float(self._value)


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    if not sources:
        return
    torch._foreach_copy_(targets, sources)  # hundreds of small tensors, a few kernels
