"""Lets MODEL.WEIGHTS name addresses of Detectron2's (detectron2://)."""

from detectron2.utils.file_io import Detectron2Handler

from kmax_deeplab.checkpoint.checkpointer import PATHS

PATHS.register_handler(Detectron2Handler())
