"""Building a model and its parts: descriptions enter, modules leave."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.model.description import HeadDescription, ModelDescription
from kmax_deeplab.model.kmax import KMaXDeepLab
from kmax_deeplab.modeling.axial_resnet import AxialResNet
from kmax_deeplab.modeling.backbone import Backbone
from kmax_deeplab.modeling.convnext import ConvNeXt
from kmax_deeplab.modeling.head import SEMANTIC_FEATURES, KMaXHead
from kmax_deeplab.modeling.layers import Norm, get_activation, make_norm
from kmax_deeplab.modeling.pixel_decoder import PixelDecoder
from kmax_deeplab.modeling.residual_blocks import EXPANSION
from kmax_deeplab.modeling.resnet import ResNet
from kmax_deeplab.modeling.semantic_predictor import SemanticDecoder, SemanticHead
from kmax_deeplab.modeling.timm_features import TimmFeatures
from kmax_deeplab.modeling.transformer_decoder import TransformerDecoder

Channels = Mapping[str, int]
"""Of the backbone's features, by name."""


def _with_norm(kind: Callable[..., Backbone], **options: Any) -> Backbone:
    norm = make_norm(options.pop("norm"), options.pop("norm_momentum"))
    return kind(norm=norm, **options)


BACKBONES: dict[str, Callable[..., Backbone]] = {
    "resnet": partial(_with_norm, ResNet),
    "convnext": ConvNeXt,
    "axial_resnet": partial(_with_norm, AxialResNet),
    "timm": TimmFeatures,
}
"""How a backbone is built, by its kind."""
SEMANTIC = {"decoder": SemanticDecoder, "head": SemanticHead}
"""The auxiliary semantic heads."""


def build_backbone(description: Mapping[str, Any]) -> Backbone:
    """Builds a backbone.

    Args:
        description: "kind" and the arguments of its constructor.

    Raises:
        ValueError: there is no such kind, or it does not take these arguments.
    """
    options = dict(description)
    kind = options.pop("kind")
    if kind not in BACKBONES:
        raise ValueError(f"unknown backbone {kind!r}; choose from {list(BACKBONES)}")
    return BACKBONES[kind](**options)


def build_pixel_decoder(head: HeadDescription, channels: Channels) -> PixelDecoder:
    """Builds the pixel decoder of a head for a backbone."""
    return PixelDecoder(
        [channels[name] for name in head.features],
        head.decoder_channels,
        depths=head.decoder_depths,
        block_kinds=head.decoder_blocks,
        norm=_norm(head),
        drop_path=head.decoder_drop_path,
        bottleneck_dilation=head.bottleneck_dilation,
    )


def decoded_channels(head: HeadDescription) -> list[int]:
    """Returns the channels of the decoded features of strides 32, 16 and 8, and of the finest."""
    decoded = [EXPANSION * channels for channels in head.decoder_channels]
    return [*decoded[:3], decoded[-1]]


def build_transformer_decoder(head: HeadDescription, channels: Channels) -> TransformerDecoder:
    """Builds the transformer decoder of a head, with the auxiliary semantic head."""
    semantic = None
    if head.semantic is not None:
        inputs = [channels[head.features[index]] for index in SEMANTIC_FEATURES]
        semantic = SEMANTIC[head.semantic](inputs, head.num_classes, norm=_norm(head))
    return TransformerDecoder(
        decoded_channels(head),
        head.num_classes,
        num_queries=head.num_queries,
        depths=head.clusterings,
        norm=_norm(head),
        drop_path=head.drop_path,
        semantic_predictor=semantic,
    )


def build_head(head: HeadDescription, pixel_decoder: nn.Module, decoder: nn.Module) -> KMaXHead:
    """Joins both decoders."""
    activation = get_activation(head.low_level_activation)
    return KMaXHead(head.features, pixel_decoder, decoder, low_level_activation=activation)


def build_model(description: ModelDescription, categories: Categories) -> KMaXDeepLab:
    """Builds a whole model with random weights, to be filled and used.

    Args:
        description: what it is made of.
        categories: its classes, in the order of its outputs.
    """
    head = description.head
    backbone = build_backbone(description.backbone)
    pixel_decoder = build_pixel_decoder(head, backbone.channels)
    decoder = build_transformer_decoder(head, backbone.channels)
    return KMaXDeepLab(
        backbone,
        build_head(head, pixel_decoder, decoder),
        categories=categories,
        inputs=description.input,
        merge=description.merge,
        description=description,
    )


def _norm(head: HeadDescription) -> Norm:
    return make_norm(head.norm, head.norm_momentum)
