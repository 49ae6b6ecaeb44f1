"""The edge: the only room that knows Detectron2. Importing it registers everything by its name."""

from kmax_deeplab.d2 import backbones, heads, meta_arch, timm_backbone
from kmax_deeplab.d2.benchmarks import register_benchmarks

__all__ = ["backbones", "heads", "meta_arch", "timm_backbone"]

register_benchmarks()
