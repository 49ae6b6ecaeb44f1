"""The processes of a run become one: they meet, wait for each other, fail together.

In: places (see `places`) and the config. Out: a process group, and the few operations on it that
collectives do not offer.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import distributed, nn
from torch.distributed.rendezvous import rendezvous

from kmax_deeplab import command
from kmax_deeplab.d2.ranks.places import Place, find_place
from kmax_deeplab.d2.ranks.watch import Watch, open_store

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

OF_OTHERS = re.compile(
    r"\bgloo\b|\bnccl\b|connection (closed|reset|was|refused)|broken pipe|timed? ?out",
    re.IGNORECASE,
)
"""In messages of PyTorch when another rank is to blame."""
_watch: Watch | None = None


@contextmanager
def joined(cfg: CfgNode) -> Iterator[None]:
    """Lets this process be one of the ranks of a run, if a launcher started several.

    Args:
        cfg: its MODEL.DEVICE and DIST.TIMEOUT are used.

    Raises:
        ValueError: there are fewer GPUs than processes, or the launcher's variables cannot be.
        SystemExit: another rank ended the run, and has said why.
    """
    place = find_place(os.environ)
    if distributed.is_initialized():  # by a framework, which watches over its processes
        _make_local_group(place)
        yield
        return
    if place is None:
        yield
        return
    _join(place, cfg)
    try:
        yield
        if not _watch.is_over:
            patient_barrier()
    except BaseException as error:
        _fail_together(error)
        raise
    finally:
        _leave()


def patient_barrier() -> None:
    """Waits for all ranks however long they take: what one of them does alone may be long."""
    if _watch is not None:
        _watch.barrier()
    else:
        comm.synchronize()


def end_all(message: str) -> None:
    """Ends all other ranks, which have done nothing wrong."""
    if _watch is not None:
        _watch.fail(message, status=0)
        _watch.linger()


def tell(doing: str) -> None:
    """Says what this rank does from here on, for messages about ranks that do not answer."""
    if _watch is not None:
        _watch.doing = doing


def from_main(function: Callable[..., Result], *arguments: object) -> Result:
    """Calls a function in the main process alone, and returns or raises its result in all.

    What it reads need not be there on other machines.
    """
    if comm.get_world_size() == 1:
        return function(*arguments)
    parcel: list = [None, None]
    if comm.is_main_process():
        try:
            parcel[0] = function(*arguments)
        except Exception as error:
            if not command.is_refusal(error):
                raise
            parcel[1] = error
    patient_barrier()
    distributed.broadcast_object_list(parcel, src=0, group=object_group())
    if parcel[1] is not None:
        raise parcel[1]
    return parcel[0]


def load_once(load: Callable[[], object], *models: nn.Module) -> None:
    """Fills models in the main process, and those of all others with the same.

    The files that are read need not be there on other machines.

    Args:
        load: fills them.
        *models: of every process, alike.
    """
    from_main(lambda: load() and None)
    if comm.get_world_size() == 1:
        return
    for value in [v for model in models for v in model.state_dict().values()]:
        sent = value.contiguous()  # which most weights are not: their channels come last
        distributed.broadcast(sent, src=0)
        value.copy_(sent)


def is_of_others(error: BaseException) -> bool:
    """Returns whether an error is that of a joint operation, for which another rank is to blame."""
    if isinstance(error, distributed.DistError):
        return True
    is_plain = type(error) is RuntimeError and not command.is_refusal(error)
    return is_plain and bool(OF_OTHERS.search(str(error)))


def object_group() -> distributed.ProcessGroup:
    """Returns the group of all ranks for what lies in the host's memory."""
    return comm._get_global_gloo_group()  # Detectron2 keeps one


def _join(place: Place, cfg: CfgNode) -> None:
    global _watch
    on_gpu = cfg.MODEL.DEVICE.startswith("cuda") and torch.cuda.is_available()
    if on_gpu and place.local_size > torch.cuda.device_count():
        raise ValueError(
            f"{place.local_size} processes on this machine, which has {torch.cuda.device_count()} "
            "GPUs: start one for each, or all on the CPU with MODEL.DEVICE cpu"
        )
    if on_gpu:
        torch.cuda.set_device(place.local_rank)
    timeout = cfg.DIST.TIMEOUT
    settings = {"world_size": place.world_size, "timeout": timedelta(seconds=timeout)}
    store, *_ = next(iter(rendezvous(place.address, place.rank, **settings)))
    # What torchrun starts anew finds the store, and in it what the attempt before has left.
    attempt = f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)} of {place.world_size}"
    store = distributed.PrefixStore(attempt, store)
    backend = "nccl" if on_gpu else "gloo"
    distributed.init_process_group(backend, store=store, rank=place.rank, **settings)
    own = open_store(attempt, timeout)
    _watch = Watch(own, place.rank, place.world_size, timeout=timeout)
    _make_local_group(place)


def _make_local_group(place: Place | None) -> None:
    if comm._LOCAL_PROCESS_GROUP is not None:
        return
    local_size = place.local_size if place else 1
    if comm.get_world_size() % local_size:
        raise ValueError(
            f"{comm.get_world_size()} processes in all, {local_size} on this machine: every "
            "machine needs as many"
        )
    comm.create_local_process_group(local_size)


def _fail_together(error: BaseException) -> None:
    """Tells the other ranks; exits quietly where one of them was first.

    Raises:
        SystemExit: so.
        RuntimeError: another rank is to blame, and cannot say so.
    """
    if isinstance(error, SystemExit) and not error.code:
        return
    is_joint = is_of_others(error)
    message = command.describe(error) if isinstance(error, Exception) else repr(error)
    try:
        message = _watch.explain() if is_joint else message
        speaks = bool(message) and _watch.fail(message)
    except RuntimeError as gone:  # rank 0 and its store are, which the watch says
        _watch.wait_for_the_end()
        raise SystemExit(1) from gone
    if not speaks:
        raise SystemExit(1) from error
    _watch.linger()
    told = RuntimeError(message) if is_joint else error
    told.rank = comm.get_rank()  # which speaks for all
    if is_joint:
        raise told from error


def _leave() -> None:
    global _watch
    _watch.stop()
    _watch = None
    comm._LOCAL_PROCESS_GROUP = None
    comm.create_local_process_group.cache_clear()
    comm._get_global_gloo_group.cache_clear()
    distributed.destroy_process_group()
