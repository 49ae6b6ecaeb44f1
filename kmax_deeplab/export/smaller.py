"""A model in float32 enters, one of half or a quarter of its size leaves."""

import logging
import tempfile
from pathlib import Path

import onnx
import onnx_ir
from onnx import ModelProto
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from kmax_deeplab.runtime.facts import PIXELS

IN_FLOAT32 = ("ScatterElements", "Softmax", "LayerNormalization", "ReduceL2")
"""Sums that float16 cannot hold: of the pixels of a cluster, exponentials, squares of channels."""


def in_half(model: ModelProto) -> ModelProto:
    """Converts a model to float16, all but `IN_FLOAT32` and what is done to its input."""
    copy = ModelProto()
    copy.CopyFrom(model)
    first, second = (node.name for node in model.graph.node[:2])  # minus mean, by deviation
    half = convert_float_to_float16(
        copy,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *IN_FLOAT32],
        node_block_list=[first, second],
    )
    (subtraction,) = (node for node in half.graph.node if node.name == first)
    subtraction.input[0] = PIXELS  # not what is left of it after float16
    converted = onnx_ir.serde.deserialize_model(half)
    RemoveUnusedNodesPass()(converted)
    converted.graph.sort()
    ordered = onnx_ir.serde.serialize_model(converted)
    del ordered.graph.value_info[:]  # types of before
    return ordered


def in_bytes(model: ModelProto) -> ModelProto:
    """Quantizes convolutions to 8 bits, activations as they come; not the first and depthwise ones.

    Those have few weights and lose most.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice to preprocess, which the exporter has done
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quantized.onnx"
            quantize_dynamic(
                model,
                path,
                op_types_to_quantize=["Conv"],
                weight_type=QuantType.QUInt8,
                nodes_to_exclude=_delicate(model),
            )
            return onnx.load(path)
    finally:
        logging.disable(before)


def _delicate(model: ModelProto) -> list[str]:
    """Names the first convolution and the depthwise ones."""
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    grouped = [n.name for n in convs if any(a.name == "group" and a.i > 1 for a in n.attribute)]
    return [convs[0].name, *grouped]


SMALLER = {"half": in_half, "int8": in_bytes}
"""Conversions by name."""
