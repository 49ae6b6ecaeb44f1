"""Encoders of the TensorFlow zoo, under `encoder/`: a backbone in, an `Entry` per variable out."""

from collections.abc import Sequence
from dataclasses import replace

from kmax_deeplab.checkpoint.tensorflow.blocks import residual_block
from kmax_deeplab.checkpoint.tensorflow.bricks import (
    Entries,
    Entry,
    bias,
    conv,
    conv_bn,
    flatten,
    io_to_oi,
    layer_norm,
)

CONVNEXTS = {
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnext_large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
}
"""Depths and widths of the four stages."""

RESNET_STEMS = {"r50": 64, "maxs": 128}
"""Output channels of the stem."""

RESNET_STAGES = (256, 512, 1024, 2048)
RESNET_DEPTHS = (3, 4, 6, 3)
AXIAL_DEPTHS = {"r50": (0, 0, 0, 0), "maxs": (0, 0, 5, 3)}
"""How many blocks of each stage, the last ones, are axial."""

BACKBONES = (*AXIAL_DEPTHS, *CONVNEXTS)


def feature_channels(backbone: str) -> list[int]:
    """Returns the channels of stem and the four stages, fine to coarse."""
    if backbone in CONVNEXTS:
        dims = CONVNEXTS[backbone][1]
        return [dims[0], *dims]
    return [RESNET_STEMS[backbone], *RESNET_STAGES]


def encoder(backbone: str) -> Entries:
    """Yields the variables of one of `BACKBONES`."""
    if backbone in CONVNEXTS:
        yield from _convnext(*CONVNEXTS[backbone])
    elif backbone == "maxs":
        for name, out in {
            "conv1_bn_act": (3, 64),
            "conv2_bn_act": (64, 64),
            "conv3_bn": (64, 128),
        }.items():
            yield from conv_bn(f"backbone.stem.{name}", f"encoder/_stem/_{name}", out, 3)
        yield from _resnet_stages(128, AXIAL_DEPTHS["maxs"])
    else:
        stem = conv_bn("backbone.stem.conv1", "encoder/_stem", (3, 64), 7)
        yield from map(_as_in_detectron2, stem)
        yield from map(_as_in_detectron2, _resnet_stages(64, AXIAL_DEPTHS["r50"]))


def _as_in_detectron2(entry: Entry) -> Entry:
    """Names a parameter as Detectron2's ResNet does: `conv1.weight`, `conv1.norm.weight`."""
    ours = entry.ours.replace("_bn_act.", ".").replace("_bn.", ".")
    return replace(entry, ours=ours.replace(".conv.", "."))


def _resnet_stages(channels: int, axial_depths: Sequence[int]) -> Entries:
    for stage, (depth, axial) in enumerate(zip(RESNET_DEPTHS, axial_depths, strict=True), 2):
        base = 16 * 2**stage
        for block in range(depth):
            ours, theirs = (
                f"backbone.res{stage}.{block}",
                f"encoder/_stage{stage}/_block{block + 1}",
            )
            is_axial = block >= depth - axial
            yield from residual_block(ours, theirs, channels, base, is_axial, block == 0)
            channels = 4 * base


def _convnext(depths: Sequence[int], dims: Sequence[int]) -> Entries:
    for index, dim in enumerate(dims):
        ours, theirs = f"backbone.downsample_layers.{index}", f"encoder/downsample_layers/{index}"
        conv_at, norm_at = (1, 0) if index else (0, 1)
        channels, size = ((dims[index - 1], dim), 2) if index else ((3, dim), 4)
        names = (f"{ours}.{conv_at}", f"{theirs}/layer_with_weights-{conv_at}")
        yield from conv(*names, channels, size)
        yield from bias(*names, dim)
        names = (f"{ours}.{norm_at}", f"{theirs}/layer_with_weights-{norm_at}")
        yield from layer_norm(*names, channels[:1] if index else (dim,))
    for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
        for block in range(depth):
            theirs = f"encoder/stages/{stage}/layer_with_weights-{block}"
            yield from _convnext_block(f"backbone.stages.{stage}.{block}", theirs, dim)


def _convnext_block(ours: str, theirs: str, dim: int) -> Entries:
    depthwise = (f"{ours}.dwconv", f"{theirs}/depthwise_conv")
    yield from conv(*depthwise, (1, dim), 7)
    yield from bias(*depthwise, dim)
    yield from layer_norm(f"{ours}.norm", f"{theirs}/norm", (dim,))
    for index, channels in enumerate([(dim, 4 * dim), (4 * dim, dim)], 1):
        names = (f"{ours}.pwconv{index}", f"{theirs}/pointwise_conv{index}")
        yield Entry(f"{names[0]}.weight", f"{names[1]}/kernel", channels, io_to_oi)
        yield from bias(*names, channels[1])
    yield Entry(f"{ours}.gamma", f"{theirs}/layer_scale", (1, 1, 1, dim), flatten)
