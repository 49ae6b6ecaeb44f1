"""The edge: the only room that knows Detectron2. Importing it registers everything by its name."""

from kmax_deeplab.d2 import _installed
from kmax_deeplab.d2.data import builtin
from kmax_deeplab.d2.engine import addresses
from kmax_deeplab.d2.modeling import backbones, heads, meta_arch

__all__ = ["_installed", "addresses", "backbones", "builtin", "heads", "meta_arch"]
