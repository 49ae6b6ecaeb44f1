"""The core's head and decoders in Detectron2's registries: config and feature shapes in."""

from detectron2.config import CfgNode
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.utils.registry import Registry

from kmax_deeplab.d2.modeling import settings
from kmax_deeplab.d2.modeling.settings import Shapes
from kmax_deeplab.model.build import build_head, build_pixel_decoder, build_transformer_decoder
from kmax_deeplab.modeling.head import KMaXHead
from kmax_deeplab.modeling.pixel_decoder import PixelDecoder
from kmax_deeplab.modeling.transformer_decoder import TransformerDecoder

TRANSFORMER_DECODER_REGISTRY = Registry("TRANSFORMER_DECODER")
TRANSFORMER_DECODER_REGISTRY.__doc__ = "Decoders by MODEL.KMAX_DEEPLAB.TRANS_DEC.NAME."


@SEM_SEG_HEADS_REGISTRY.register()
def kMaXPixelDecoder(cfg: CfgNode, shapes: Shapes) -> PixelDecoder:
    """Builds the pixel decoder of `MODEL.KMAX_DEEPLAB.PIXEL_DEC`."""
    return build_pixel_decoder(settings.head(cfg, shapes), _channels(shapes))


@TRANSFORMER_DECODER_REGISTRY.register()
def kMaXTransformerDecoder(cfg: CfgNode, shapes: Shapes) -> TransformerDecoder:
    """Builds the transformer decoder of `MODEL.KMAX_DEEPLAB.TRANS_DEC`."""
    return build_transformer_decoder(settings.head(cfg, shapes), _channels(shapes))


@SEM_SEG_HEADS_REGISTRY.register()
def kMaXDeepLabHead(cfg: CfgNode, shapes: Shapes) -> KMaXHead:
    """Builds the head of the decoders that PIXEL_DEC.NAME and TRANS_DEC.NAME register."""
    node = cfg.MODEL.KMAX_DEEPLAB
    return build_head(
        settings.head(cfg, shapes),
        SEM_SEG_HEADS_REGISTRY.get(node.PIXEL_DEC.NAME)(cfg, shapes),
        TRANSFORMER_DECODER_REGISTRY.get(node.TRANS_DEC.NAME)(cfg, shapes),
    )


def _channels(shapes: Shapes) -> dict[str, int]:
    return {name: shape.channels for name, shape in shapes.items()}
