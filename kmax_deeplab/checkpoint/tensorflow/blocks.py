"""Residual blocks of TensorFlow encoders and pixel decoders: an `Entry` per variable out."""

from kmax_deeplab.checkpoint.tensorflow.bricks import (
    Entries,
    Entry,
    batch_norm,
    conv_bn,
    io_to_oi1,
    unchanged,
)

HEADS = 8
"""Attention heads of each axis."""

RELATIVE_POSITIONS = 509
"""Rows of a table of relative positions."""


def residual_block(
    ours: str, theirs: str, channels: int, base: int, *, is_axial: bool, has_shortcut: bool
) -> Entries:
    """A residual block of base width c from `channels` to 4c channels."""
    width = 2 * base if is_axial else base
    yield from conv_bn(f"{ours}.conv1_bn_act", f"{theirs}/_conv1_bn_act", (channels, width))
    if is_axial:
        for axis in ("height", "width"):
            names = (f"{ours}.attention.{axis}_axis", f"{theirs}/_attention/_{axis}_axis")
            yield from _axial_attention(*names, width)
    else:
        yield from conv_bn(f"{ours}.conv2_bn_act", f"{theirs}/_conv2_bn_act", (width, width), 3)
    yield from conv_bn(f"{ours}.conv3_bn", f"{theirs}/_conv3_bn", (width, 4 * base))
    if has_shortcut:
        yield from conv_bn(f"{ours}.shortcut", f"{theirs}/_shortcut", (channels, 4 * base))


def _axial_attention(ours: str, theirs: str, channels: int) -> Entries:
    """Attention along one axis; its keys have half as many channels as its values."""
    key, value = channels // 2 // HEADS, channels // HEADS  # depths of a head
    qkv = (channels, 2 * channels)
    yield Entry(f"{ours}.qkv_transform.conv.weight", f"{theirs}/qkv_kernel", qkv, io_to_oi1)
    for name, depth in {"query": key, "key": key, "value": value}.items():
        table = (f"{ours}.{name}_rpe.embeddings.weight", f"{theirs}/_{name}_rpe/embeddings")
        yield Entry(*table, (RELATIVE_POSITIONS, depth), unchanged)
    shapes = {
        "qkv": (2 * channels,),
        "similarity": (3, 1, HEADS, 1, 1),
        "retrieved_output": (2, 1, HEADS, 1, value),
    }
    for name, shape in shapes.items():
        yield from batch_norm(f"{ours}.batch_norm_{name}", f"{theirs}/_batch_norm_{name}", shape)
