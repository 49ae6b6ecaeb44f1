"""Training losses: head output and ground truth enter, weighted losses under released names leave.

The way through: matching -> supervision -> terms and instance_discrimination -> criterion; grid
brings what the layers say at coarser strides to the grid of the targets.
"""

from kmax_deeplab.losses.criterion import LossSettings, compute_losses

__all__ = ["LossSettings", "compute_losses"]
