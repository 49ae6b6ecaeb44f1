"""ResNet as the TensorFlow models have it: a stem and blocks for Detectron2's `ResNet`.

The stem does not pool, and blocks activate on entry instead of on exit. Parameters are named as in
Detectron2's own blocks.
"""

import torch.nn.functional as F
from detectron2.modeling.backbone.resnet import BasicStem, BottleneckBlock
from torch import Tensor


class PlainStem(BasicStem):
    """7x7 convolution with stride 2 and batch norm; ReLU and max-pool are optional.

    Args:
        activate: whether ReLU follows.
        pool: whether a 3x3 max-pool with stride 2 follows.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, norm: object, activate: bool, pool: bool
    ):
        super().__init__(in_channels, out_channels, norm=norm)
        self.activate, self.pool = activate, pool
        self.stride = 4 if pool else 2

    def forward(self, image: Tensor) -> Tensor:
        """Maps (B, 3, H, W) to (B, C, H / stride, W / stride)."""
        x = self.conv1(image)
        x = F.relu_(x) if self.activate else x
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1) if self.pool else x


class EntryActivatedBottleneck(BottleneckBlock):
    """Bottleneck that applies ReLU to its input and none to its output."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps unactivated (B, C_in, H, W) to unactivated (B, C_out, H / stride, W / stride)."""
        x = F.relu(x)
        shortcut = self.shortcut(x) if self.shortcut is not None else x
        x = F.relu_(self.conv1(x))
        x = F.relu_(self.conv2(x))
        return self.conv3(x) + shortcut
