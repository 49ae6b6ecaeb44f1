"""What this machine offers a training: nothing enters, device, memory and weights leave."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from kmax_deeplab.checkpoint.timm_hub import FOLDER, find_local_weights

SMALL_BACKBONES = ("tf_efficientnet_lite0", "mobilenetv3_large_100", "convnextv2_atto")
"""Models of timm that a CPU can train, the best tried first."""
LARGE_BACKBONE = "resnet50.a1_in1k"
"""ImageNet weights of timm that fill the backbone of the released ResNet-50."""
RELEASED = "kmax_r50.pth"
"""The COCO checkpoint of configs/custom/panoptic_segmentation/kmax_r50.yaml, docs/MODEL_ZOO.md."""
GIBIBYTE = 2**30


@dataclass(frozen=True)
class Machine:
    """What a training can use.

    Attributes:
        gpu: name of the GPU; empty: there is none.
        memory: of the GPU in GiB.
        threads: of PyTorch on the CPU.
        weights: value of MODEL.WEIGHTS, a checkpoint or "timm://NAME"; empty: none are here.
    """

    gpu: str = ""
    memory: float = 0.0
    threads: int = 1
    weights: str = ""

    def __str__(self) -> str:
        if self.gpu:
            return f"{self.gpu} with {self.memory:.0f} GiB"
        return f"no GPU, {self.threads} thread{'s' if self.threads > 1 else ''}"


def find_machine() -> Machine:
    """Looks at this machine: the first GPU if there is one, and weights that are on its disks."""
    threads = torch.get_num_threads()
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        weights = _checkpoint() or _backbone((LARGE_BACKBONE,))
        return Machine(gpu.name, gpu.total_memory / GIBIBYTE, threads, weights)
    return Machine(threads=threads, weights=_backbone(SMALL_BACKBONES))


def _checkpoint() -> str:
    """Returns the released checkpoint if it lies in the folder of weights or here."""
    places = [Path(folder, RELEASED) for folder in (os.environ.get(FOLDER), ".") if folder]
    return next((str(path.absolute()) for path in places if path.is_file()), "")


def _backbone(names: tuple[str, ...]) -> str:
    """Returns the first backbone whose weights are on this machine."""
    return next((f"timm://{name}" for name in names if find_local_weights(name)), "")
