"""A traced network enters, checked ONNX files of it leave: in float32, and smaller ones."""

from contextlib import ExitStack
from pathlib import Path

from kmax_deeplab.export.network import Traced
from kmax_deeplab.export.onnx_file import OPSET, describe, save, to_onnx
from kmax_deeplab.export.parity import Parity, compare
from kmax_deeplab.export.smaller import SMALLER
from kmax_deeplab.runtime.onnx_session import open_onnx
from kmax_deeplab.whole_files import whole_file


def write_onnx(traced: Traced, path: Path, smaller: list[str]) -> dict[Path, Parity]:
    """Writes a network as ONNX, all files or none.

    Args:
        traced: the network.
        path: of the file in float32.
        smaller: which of `SMALLER` lie beside it.

    Returns:
        How each file compares with the model.

    Raises:
        ValueError: the file in float32 is not the same as the model, or there are operators that
            are not standard.
    """
    model, compared = to_onnx(traced.program), {}
    models = {path: model}
    models |= {smaller_path(path, kind): SMALLER[kind](model) for kind in smaller}
    with ExitStack() as stack:
        for to, each in models.items():
            partial = stack.enter_context(whole_file(to))
            describe(each, traced.facts(opset=OPSET))
            save(each, partial)
            checked = compare(traced.predict, open_onnx(partial), traced.image)
            if to == path:
                checked.require()
            describe(each, traced.facts(checked.to_json(), opset=OPSET))
            save(each, partial)
            compared[to] = checked
    return compared


def smaller_path(path: Path, kind: str) -> Path:
    """Returns where a smaller model lies: beside the one in float32."""
    return path.with_suffix(f".{kind}{path.suffix}")
