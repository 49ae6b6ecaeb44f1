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

MAXS_STEM = {"conv1_bn_act": (3, 64), "conv2_bn_act": (64, 64), "conv3_bn": (64, 128)}
"""Input and output channels of its convolutions."""

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
        for name, channels in MAXS_STEM.items():
            yield from conv_bn(f"backbone.stem.{name}", f"encoder/_stem/_{name}", channels, 3)
        yield from _resnet_stages(backbone)
    else:
        stem = conv_bn("backbone.stem.conv1", "encoder/_stem", (3, 64), 7)
        yield from map(_as_in_detectron2, stem)
        yield from map(_as_in_detectron2, _resnet_stages(backbone))


def _as_in_detectron2(entry: Entry) -> Entry:
    """Names a parameter as Detectron2's ResNet does: `conv1.weight`, `conv1.norm.weight`."""
    ours = entry.ours.replace("_bn_act.", ".").replace("_bn.", ".")
    return replace(entry, ours=ours.replace(".conv.", "."))


def _resnet_stages(backbone: str) -> Entries:
    channels = RESNET_STEMS[backbone]
    for index, out_channels in enumerate(RESNET_STAGES):
        depth, axial_depth = RESNET_DEPTHS[index], AXIAL_DEPTHS[backbone][index]
        for block in range(depth):
            yield from residual_block(
                f"backbone.res{index + 2}.{block}",
                f"encoder/_stage{index + 2}/_block{block + 1}",
                channels,
                out_channels // 4,
                is_axial=block >= depth - axial_depth,
                has_shortcut=block == 0,
            )
            channels = out_channels


def _convnext(depths: Sequence[int], dims: tuple[int, ...]) -> Entries:
    first, second = _downsampling_layers(0)  # the stem: convolution, norm
    yield from conv(*first, (3, dims[0]), 4)
    yield from bias(*first, dims[0])
    yield from layer_norm(*second, dims[:1])
    for index in range(1, len(dims)):
        first, second = _downsampling_layers(index)  # the other way round
        yield from layer_norm(*first, dims[index - 1 : index])
        yield from conv(*second, dims[index - 1 : index + 1], 2)
        yield from bias(*second, dims[index])
    for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
        for block in range(depth):
            theirs = f"encoder/stages/{stage}/layer_with_weights-{block}"
            yield from _convnext_block(f"backbone.stages.{stage}.{block}", theirs, dim)


def _downsampling_layers(index: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Names of the two layers, ours and theirs each."""
    ours, theirs = f"backbone.downsample_layers.{index}", f"encoder/downsample_layers/{index}"
    return (
        (f"{ours}.0", f"{theirs}/layer_with_weights-0"),
        (f"{ours}.1", f"{theirs}/layer_with_weights-1"),
    )


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
