"""An ONNX file of `tools/export.py` enters, what predicts with it leaves."""

from collections.abc import Sequence
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from kmax_deeplab.runtime.exported import ExportedModel
from kmax_deeplab.runtime.facts import CLASS_LOGITS, MASK_LOGITS, PIXELS, Facts

UNREADABLE = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NotImplemented,
)
"""What onnxruntime raises for files that it cannot use."""
ONLY_ERRORS = 3
"""Level of onnxruntime's log."""


def open_onnx(
    path: str | Path, providers: Sequence[str] = ("CPUExecutionProvider",), threads: int = 0
) -> ExportedModel:
    """Opens an ONNX file of `tools/export.py`.

    Args:
        path: of the file.
        providers: of onnxruntime, the best first.
        threads: of the CPU; 0: as many as it has cores.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not of `tools/export.py`, or there is no such provider.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: tools/export.py makes such a file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_ERRORS
    options.intra_op_num_threads = threads
    if missing := set(providers) - set(known := onnxruntime.get_available_providers()):
        raise ValueError(f"onnxruntime has no {sorted(missing)} here, but {known}")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=list(providers))
        facts = Facts.from_texts(session.get_modelmeta().custom_metadata_map)
    except (*UNREADABLE, ValueError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
    batch = session.get_inputs()[0].shape[0]
    outputs = [CLASS_LOGITS, MASK_LOGITS]
    return ExportedModel(
        facts,
        lambda pixels: session.run(outputs, {PIXELS: pixels}),
        batch if isinstance(batch, int) else None,
    )
