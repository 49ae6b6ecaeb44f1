"""What a run says about itself: loggers of its processes, one line about the machine, progress.

In: the config and the output folder. Out: lines on the terminal and, all of them, in `log.txt`. The
whole config is in `config.yaml` and not repeated.
"""

import importlib.metadata
import logging
import os
import platform
import sys
from pathlib import Path

import detectron2
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from kmax_deeplab.revision import find_revision

LOGGERS = {"fvcore": "fvcore", "detectron2": "d2", "kmax_deeplab": "kmax"}
"""Who logs, and what that is called on the terminal."""
logger = logging.getLogger(__name__)


def log_to_folder(folder: str) -> None:
    """Sends the log of this process to the terminal (main process) and to a file of the folder.

    Colours are for terminals only, and for those who do not set NO_COLOR.
    """
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for name, short in LOGGERS.items():
        setup_logger(folder, comm.get_rank(), color=color, name=name, abbrev_name=short)


def log_to_file(path: Path) -> None:
    """Sends all log messages and warnings of this process to a file, and none to the terminal."""
    logging.captureWarnings(True)
    for name in (*LOGGERS, "py.warnings"):
        setup_logger(str(path), name=name, configure_stdout=False)


def log_start(cfg: CfgNode, command: object) -> None:
    """Logs what a bug report needs: versions, device, processes, command line."""
    device = torch.device(cfg.MODEL.DEVICE)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    versions = {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "Detectron2": detectron2.__version__,
        "numpy": importlib.metadata.version("numpy"),
        "revision": find_revision(),
    }
    listed = ", ".join(f"{library} {version}" for library, version in versions.items())
    logger.info(
        "%s; device %s (%s), process %d of %d with %d threads (pid %d)",
        *(listed, device, name or platform.machine(), comm.get_rank() + 1),
        *(comm.get_world_size(), torch.get_num_threads(), os.getpid()),
    )
    logger.info("Command line: %s", command)
