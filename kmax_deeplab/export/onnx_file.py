"""A traced network enters, ONNX of standard operators that says how it is used leaves."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnx_ir
import torch
from onnx import GraphProto, ModelProto, NodeProto
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.optimizer import fold_constants
from torch.export import ExportedProgram

from kmax_deeplab.runtime.facts import CLASS_LOGITS, MASK_LOGITS, PIXELS, Facts

OPSET = 20
"""Of the standard operators; the first with GELU. Runtimes since 2024 know it."""
STANDARD = ("", "ai.onnx")
"""Domains of the standard operators."""


def to_onnx(program: ExportedProgram) -> ModelProto:
    """Translates a traced network, by PyTorch's dynamo exporter."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # a line for every constant that is not folded
    try:
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[PIXELS],
            output_names=[CLASS_LOGITS, MASK_LOGITS],
            verbose=False,
        )
        _fold_weights(exported.model)
    finally:
        logging.disable(before)
    return exported.model_proto


def _fold_weights(model: onnx_ir.Model) -> None:
    """Gives weights the shape in which convolutions take them, as quantization wants them."""
    fold_constants(model, should_fold=lambda node: node.op_type == "Unsqueeze" or None)
    RemoveUnusedNodesPass()(model)


def require_standard(model: ModelProto) -> Counter[str]:
    """Counts the operators of a model.

    Raises:
        ValueError: some are not of the standard set, or of another version than `OPSET`.
    """
    nodes = list(_nodes(model.graph.node))
    strange = sorted({f"{n.domain}.{n.op_type}" for n in nodes if n.domain not in STANDARD})
    if strange or model.functions:
        named = strange or sorted(function.name for function in model.functions)
        raise ValueError(f"the operators {named} are none of ONNX's standard set: not exported")
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if (found := versions.get("", versions.get("ai.onnx"))) != OPSET:
        raise ValueError(f"the operators are those of opset {found}, asked for were {OPSET}'s")
    return Counter(node.op_type for node in nodes)


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            graphs: list[GraphProto] = [*attribute.graphs]
            graphs += [attribute.g] if attribute.HasField("g") else []
            for graph in graphs:
                yield from _nodes(graph.node)


def describe(model: ModelProto, facts: Facts) -> None:
    """Writes into a model how it is used."""
    onnx.helper.set_model_props(model, facts.to_texts())
    model.producer_name = "kmax_deeplab"


def save(model: ModelProto, path: Path) -> None:
    """Writes a model, and has ONNX check it.

    Raises:
        ValueError: it has operators that are not standard.
    """
    require_standard(model)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
