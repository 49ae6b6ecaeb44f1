"""Says what the edge needs and is not installed, before anything of it is imported."""

import importlib.util
import warnings

REMEDIES = {
    "detectron2": "run `python tools/install_detectron2.py` in the project's folder",
    "panopticapi": "run `python -m pip install --no-deps panopticapi-lite==0.2.0`",
}
"""What no dependency of the package brings, and how it comes."""
for name, remedy in REMEDIES.items():
    if importlib.util.find_spec(name) is None:
        raise ModuleNotFoundError(
            f"{name} is not installed, and this part of kmax_deeplab needs it: {remedy}", name=name
        )
# Detectron2 and fvcore compile functions when they are imported, which PyTorch deprecates.
warnings.filterwarnings("ignore", ".*torch.jit.script", FutureWarning)
