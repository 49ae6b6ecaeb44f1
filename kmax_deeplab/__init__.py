"""kMaX-DeepLab (k-means Mask Transformer, ECCV 2022) on Detectron2.

The public names below are imported when first asked for, so that the core can be used without
Detectron2.
"""

from importlib import import_module

_PUBLIC = {
    "add_kmax_deeplab_config": "kmax_deeplab.d2.config.keys",
    "KMaXCheckpointer": "kmax_deeplab.checkpoint.checkpointer",
    "Predictor": "kmax_deeplab.predict.predictor",
    "Trainer": "kmax_deeplab.d2.engine.trainer",
}

__version__ = "0.2.0"
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
