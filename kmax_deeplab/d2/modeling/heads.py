"""The head and its decoders in Detectron2's registries: the core's classes plus `from_config`."""

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from kmax_deeplab.modeling.head import SEMANTIC_FEATURES, KMaXHead
from kmax_deeplab.modeling.layers import get_activation, make_norm
from kmax_deeplab.modeling.pixel_decoder import PixelDecoder
from kmax_deeplab.modeling.semantic_predictor import SemanticDecoder, SemanticHead
from kmax_deeplab.modeling.transformer_decoder import TransformerDecoder
from kmax_deeplab.structures import HeadOutput

TRANSFORMER_DECODER_REGISTRY = Registry("TRANSFORMER_DECODER")
TRANSFORMER_DECODER_REGISTRY.__doc__ = "Decoders by MODEL.KMAX_DEEPLAB.TRANS_DEC.NAME."

Shapes = dict[str, ShapeSpec]


def coarse_to_fine(cfg, shapes: Shapes) -> Shapes:
    """Returns the features that the head uses, ordered by declared stride, ties as declared."""
    names = cfg.MODEL.KMAX_DEEPLAB.PIXEL_DEC.IN_FEATURES
    missing = set(names) - set(shapes)
    if missing:
        raise ValueError(
            f"MODEL.KMAX_DEEPLAB.PIXEL_DEC.IN_FEATURES asks for {sorted(missing)}, "
            f"the backbone gives {list(shapes)}; set its OUT_FEATURES"
        )
    used = [(name, shape) for name, shape in shapes.items() if name in names]
    return dict(sorted(used, key=lambda item: -item[1].stride))


def _norm(cfg):
    return make_norm(cfg.MODEL.KMAX_DEEPLAB.NORM, cfg.MODEL.KMAX_DEEPLAB.NORM_MOMENTUM)


@SEM_SEG_HEADS_REGISTRY.register()
class kMaXPixelDecoder(PixelDecoder):
    """`PixelDecoder` by the keys `MODEL.KMAX_DEEPLAB.PIXEL_DEC`."""

    @configurable
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)

    @classmethod
    def from_config(cls, cfg, shapes: Shapes) -> dict:
        node = cfg.MODEL.KMAX_DEEPLAB.PIXEL_DEC
        return {
            "in_channels": [shape.channels for shape in coarse_to_fine(cfg, shapes).values()],
            "base_channels": node.DEC_CHANNELS,
            "depths": node.DEC_LAYERS,
            "block_kinds": node.LAYER_TYPES,
            "norm": _norm(cfg),
            "drop_path": node.DROP_PATH_PROB,
            "bottleneck_dilation": node.BOTTLENECK_DILATION,
        }


@TRANSFORMER_DECODER_REGISTRY.register()
class kMaXTransformerDecoder(TransformerDecoder):
    """`TransformerDecoder` by the keys `MODEL.KMAX_DEEPLAB.TRANS_DEC`."""

    @configurable
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)

    @classmethod
    def from_config(cls, cfg, shapes: Shapes) -> dict:
        node = cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC
        decoded = [4 * c for c in cfg.MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_CHANNELS]
        expected = [*decoded[:3], decoded[-1]]
        if list(node.IN_CHANNELS) != expected:
            raise ValueError(
                f"MODEL.KMAX_DEEPLAB.TRANS_DEC.IN_CHANNELS {list(node.IN_CHANNELS)} must be "
                f"{expected}: 4 x PIXEL_DEC.DEC_CHANNELS of the first three and the last stage"
            )
        return {
            "in_channels": node.IN_CHANNELS,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "num_queries": node.NUM_OBJECT_QUERIES,
            "depths": node.DEC_LAYERS,
            "norm": _norm(cfg),
            "drop_path": node.DROP_PATH_PROB,
            "semantic_predictor": _semantic_predictor(cfg, shapes),
        }


def _semantic_predictor(cfg, shapes: Shapes) -> nn.Module | None:
    if cfg.MODEL.KMAX_DEEPLAB.AUX_SEMANTIC_WEIGHT <= 0:
        return None
    kind = SemanticDecoder if cfg.MODEL.KMAX_DEEPLAB.USE_AUX_SEMANTIC_DECODER else SemanticHead
    channels = [shape.channels for shape in coarse_to_fine(cfg, shapes).values()]
    num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    return kind([channels[i] for i in SEMANTIC_FEATURES], num_classes, norm=_norm(cfg))


@SEM_SEG_HEADS_REGISTRY.register()
class kMaXDeepLabHead(KMaXHead):
    """`KMaXHead` by config. In evaluation it returns Detectron2's dict of the final prediction."""

    @configurable
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)

    @classmethod
    def from_config(cls, cfg, shapes: Shapes) -> dict:
        node = cfg.MODEL.KMAX_DEEPLAB
        return {
            "feature_names": list(coarse_to_fine(cfg, shapes)),
            "pixel_decoder": SEM_SEG_HEADS_REGISTRY.get(node.PIXEL_DEC.NAME)(cfg, shapes),
            "transformer_decoder": TRANSFORMER_DECODER_REGISTRY.get(node.TRANS_DEC.NAME)(
                cfg, shapes
            ),
            "low_level_activation": get_activation(node.LOW_LEVEL_ACTIVATION),
        }

    def forward(self, features: dict[str, Tensor]) -> HeadOutput | dict[str, Tensor]:
        """Predicts from backbone features.

        Returns:
            in training everything (`HeadOutput`); in evaluation "pred_logits" (B, Q, K + 1),
            "pred_masks" (B, Q, H, W) and "pixel_feature" (B, C, H, W) of the final prediction.
        """
        output = self.predict(features)
        if self.training:
            return output
        final = output.predictions[-1]
        return {
            "pred_logits": final.class_logits,
            "pred_masks": final.mask_logits,
            "pixel_feature": final.pixel_feature,
        }
