"""A model on several ranks: one that stands for all of them leaves."""

import inspect

from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def distribute(model: nn.Module, *, some_unused: bool = False) -> nn.Module:
    """Wraps a model for gradient averaging if there are several processes, on GPUs or on CPUs.

    Detectron2's `create_ddp_model` names a GPU even for a model on the CPU.

    Args:
        model: on its device.
        some_unused: whether parameters may get no gradient, which costs a look at all of them.
    """
    if comm.get_world_size() == 1:
        return model
    on_cpu = next(model.parameters()).device.type == "cpu"
    devices = None if on_cpu else [comm.get_local_rank()]
    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    return DistributedDataParallel(
        model,
        device_ids=devices,
        **{buffers: False},
        find_unused_parameters=some_unused,
        gradient_as_bucket_view=True,  # which saves a copy of all gradients
    )
