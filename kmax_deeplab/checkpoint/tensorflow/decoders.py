"""Decoders of the TensorFlow zoo: channels and class order in, an `Entry` per variable out."""

from collections.abc import Sequence

from kmax_deeplab.checkpoint.tensorflow.blocks import HEADS, residual_block
from kmax_deeplab.checkpoint.tensorflow.bricks import (
    Entries,
    Entry,
    Layout,
    batch_norm,
    bias,
    conv,
    conv_bn,
    layer_norm,
    lio_to_oi11,
    lio_to_oil,
    reorder,
    separable_conv_bn,
    sequence_conv_bn,
)

DECODER_CHANNELS = (512, 256, 128, 64, 32)
"""Base width c of each stage of the pixel decoder; the last one exists for five features."""

DECODER_DEPTHS = (1, 5, 1, 1, 1)
AXIAL_STAGES = 2
"""The coarsest stages, whose blocks are axial."""

LAYERS = (0, 0, 1, 1, 2, 2)
"""Stage of the pixel decoder that each k-means layer reads."""

CHANNELS = 256
"""Channels of queries and of most convolutions."""

PIXEL_SPACE_CHANNELS = 128


def pixel_decoder(ours: str, theirs: str, features: Sequence[int]) -> Entries:
    """Yields norms, fusions and stages; `features` are channels, coarse to fine."""
    for index, channels in enumerate(features):
        yield from layer_norm(
            f"{ours}.in_norms.{index}", f"{theirs}/_backbone_norms/{index}", (channels,)
        )
        base = DECODER_CHANNELS[index]
        if index > 0:
            fuse = (f"{ours}.resized_fuses.{index - 1}", f"{theirs}/_skip_connections/{index - 1}")
            yield from _fusion(*fuse, 4 * DECODER_CHANNELS[index - 1], channels, base)
            channels = base
        for block in range(DECODER_DEPTHS[index]):
            yield from residual_block(
                f"{ours}.stages.{index}.blocks.{block}",
                f"{theirs}/_stages/{index}/_block{block + 1}",
                channels,
                base,
                is_axial=index < AXIAL_STAGES,
                has_shortcut=channels != 4 * base,
            )
            channels = 4 * base


def _fusion(ours: str, theirs: str, low: int, high: int, out: int) -> Entries:
    if low != out:
        yield from conv_bn(f"{ours}.conv_bn_low", f"{theirs}/_resized_conv_bn1", (low, out))
    if high != out:
        yield from conv_bn(f"{ours}.conv_bn_high", f"{theirs}/_resized_conv_bn2", (high, out))


def transformer_decoder(
    ours: str, theirs: str, *, finest: int, num_queries: int, class_order: list[int]
) -> Entries:
    """Yields centres, k-means layers and the final predictor, which reads `finest` channels."""
    centers = (f"{ours}.cluster_centers.weight", f"{theirs}/cluster_centers")
    yield Entry(*centers, (1, num_queries, CHANNELS), lambda array: array[0].T)
    for index, stage in enumerate(LAYERS):
        layer = (
            f"{ours}.kmax_transformer_layers.{index}",
            f"{theirs}/_kmax_decoder/{index}/_block1_transformer",
        )
        yield from _kmeans_layer(*layer, 4 * DECODER_CHANNELS[stage])
        auxiliary = f"{layer[1]}/_auxiliary_clustering_predictor/_"
        yield from predictor(f"{layer[0]}.predictor", auxiliary, CHANNELS, class_order)
    for kind in ("class", "mask"):
        projection = f"{kind}_embedding_projection"
        names = (f"{ours}.{projection}", f"{theirs}/_{projection}")
        yield from sequence_conv_bn(*names, (CHANNELS, CHANNELS))
    yield from predictor(f"{ours}.predictor", "", finest, class_order)


def _kmeans_layer(ours: str, theirs: str, pixel_channels: int) -> Entries:
    """Yields one k-means layer without its predictor; their "memory" are our queries."""
    convolutions: dict[str, tuple[str, tuple[int, int], Layout]] = {
        "query_conv1_bn_act": ("memory_conv1_bn_act", (CHANNELS, CHANNELS), lio_to_oil),
        "pixel_conv1_bn_act": ("pixel_conv1_bn_act", (pixel_channels, CHANNELS), lio_to_oi11),
        "pixel_v_conv_bn": ("pixel_v_conv_bn", (CHANNELS, CHANNELS), lio_to_oi11),
        "kmeans_query_conv3_bn": ("kmeans_memory_conv3_bn", (CHANNELS, CHANNELS), lio_to_oil),
        "query_qkv_conv_bn": ("memory_qkv_conv_bn", (CHANNELS, 2 * CHANNELS), lio_to_oil),
        "query_conv3_bn": ("memory_conv3_bn", (CHANNELS, CHANNELS), lio_to_oil),
        "query_ffn_conv1_bn_act": ("memory_ffn_conv1_bn_act", (CHANNELS, 8 * CHANNELS), lio_to_oil),
        "query_ffn_conv2_bn": ("memory_ffn_conv2_bn", (8 * CHANNELS, CHANNELS), lio_to_oil),
    }
    for name, (their_name, channels, layout) in convolutions.items():
        yield from sequence_conv_bn(f"{ours}.{name}", f"{theirs}/_{their_name}", channels, layout)
    kmeans = ("kmeans_query_batch_norm_retrieved_value", "kmeans_memory_batch_norm_retrieved_value")
    yield from batch_norm(f"{ours}.{kmeans[0]}", f"{theirs}/_{kmeans[1]}", (CHANNELS,))
    shapes = {"similarity": (HEADS,), "retrieved_value": (1, HEADS, 1, CHANNELS // HEADS)}
    for name, shape in shapes.items():
        attention = (f"{ours}.query_self_attention", f"{theirs}/_memory_attention")
        names = (f"{attention[0]}.batch_norm_{name}", f"{attention[1]}/_batch_norm_{name}")
        yield from batch_norm(*names, shape)


def predictor(ours: str, prefix: str, pixel_channels: int, class_order: list[int]) -> Entries:
    """Yields a predictor; `prefix` comes before every name of theirs."""
    head = (f"{ours}.pixel_space_head", f"{prefix}pixel_space_head")
    yield from separable_conv_bn(
        f"{head[0]}_conv0bnact",
        f"{head[0]}_conv1bnact",
        f"{head[1]}/conv_block",
        (pixel_channels, CHANNELS),
    )
    last = f"{head[0]}_last_convbn"
    yield from conv(f"{last}.conv", f"{head[1]}/final_conv", (CHANNELS, PIXEL_SPACE_CHANNELS))
    yield from bias(f"{last}.conv", f"{head[1]}/final_conv", PIXEL_SPACE_CHANNELS)
    feature_norm = f"{prefix}pixel_space_feature_batch_norm"
    yield from batch_norm(f"{last}.norm", feature_norm, (PIXEL_SPACE_CHANNELS,))
    name = "pixel_space_mask_batch_norm"
    yield from batch_norm(f"{ours}.{name}", f"{prefix}{name}", (1,))
    name = "transformer_mask_head"
    yield from sequence_conv_bn(
        f"{ours}.{name}", f"{prefix}{name}", (CHANNELS, PIXEL_SPACE_CHANNELS)
    )
    yield from _class_head(
        f"{ours}.transformer_class_head.conv", f"{prefix}transformer_class_head/_conv", class_order
    )


def _class_head(ours: str, theirs: str, class_order: list[int]) -> Entries:
    shape = (1, CHANNELS, len(class_order))
    kernel = Entry(f"{ours}.weight", f"{theirs}/kernel", shape, lio_to_oil)
    yield from reorder([kernel], class_order)
    yield from reorder(bias(ours, theirs, len(class_order)), class_order)


def semantic_decoder(ours: str, features: Sequence[int], num_classes: int) -> Entries:
    """Yields ASPP and fusions on features of strides 32, 8 and 4; the classifier has a void."""
    coarse, os8, os4 = features
    aspp = (f"{ours}.aspp", "semantic_decoder/_aspp")
    yield from conv_bn(f"{aspp[0]}.aspp_conv0", f"{aspp[1]}/_conv_bn_act", (coarse, CHANNELS))
    for name, size in {"conv1": 3, "conv2": 3, "conv3": 3, "pool": 1}.items():
        theirs = f"{aspp[1]}/_aspp_{name}/_conv_bn_act"
        yield from conv_bn(f"{aspp[0]}.aspp_{name}", theirs, (coarse, CHANNELS), size)
    projection = (f"{aspp[0]}.proj_conv_bn_act", f"{aspp[1]}/_proj_conv_bn_act")
    yield from conv_bn(*projection, (5 * CHANNELS, CHANNELS))
    for index, (level, channels, low) in enumerate([("os8", os8, 64), ("os4", os4, 32)], 1):
        theirs = f"semantic_decoder/_low_level_conv{index}"
        yield from conv_bn(f"{ours}.low_level_projection_{level}", theirs, (channels, low))
        fusion = f"{ours}.low_level_fusion_{level}"
        yield from separable_conv_bn(
            f"{fusion}_conv0_bn_act",
            f"{fusion}_conv1_bn_act",
            f"semantic_decoder/_fusion_conv{index}",
            (CHANNELS + low, CHANNELS),
        )
    void_last = [*range(1, num_classes + 1), 0]
    blocks = (f"{ours}.conv_block_0", f"{ours}.conv_block_1")
    yield from _semantic_classifier(*blocks, f"{ours}.final_conv", CHANNELS, void_last)


def semantic_head(ours: str, channels: int, num_classes: int) -> Entries:
    """Yields the single head on the coarsest feature, without void."""
    names = (f"{ours}.0", f"{ours}.1", f"{ours}.2")
    yield from _semantic_classifier(*names, channels, list(range(num_classes)))


def _semantic_classifier(
    depthwise: str, pointwise: str, last: str, channels: int, order: list[int]
) -> Entries:
    theirs = "semantic_head_without_last_layer"
    yield from separable_conv_bn(depthwise, pointwise, theirs, (channels, CHANNELS))
    yield from reorder(conv(f"{last}.conv", "semantic_last_layer", (CHANNELS, len(order))), order)
    yield from reorder(bias(f"{last}.conv", "semantic_last_layer", len(order)), order)
