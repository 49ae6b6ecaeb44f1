"""The core's backbones in Detectron2's registry: config and input shape in, a backbone out."""

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling import Backbone as Detectron2Backbone
from timm.layers import convert_sync_batchnorm

from kmax_deeplab.d2.modeling import settings
from kmax_deeplab.model.build import build_backbone
from kmax_deeplab.modeling.backbone import Backbone
from kmax_deeplab.modeling.resnet import ResNet
from kmax_deeplab.modeling.timm_features import TimmFeatures

Detectron2Backbone.register(Backbone)  # ours have all that Detectron2 asks of one


@BACKBONE_REGISTRY.register()
def custom_bn_build_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Builds the ResNet of `MODEL.RESNETS`, the first parts frozen as `FREEZE_AT` says.

    The keys `MODEL.RESNETS.STEM_POOL` and `ACTIVATE_ON_ENTRY` make it TensorFlow's ResNet-50.
    """
    return build_backbone(settings.resnet(cfg)).freeze(cfg.MODEL.BACKBONE.FREEZE_AT)


@BACKBONE_REGISTRY.register()
def D2ConvNeXt(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds the ConvNeXt of `MODEL.CONVNEXT`."""
    refuse_freezing(cfg)
    return build_backbone(settings.convnext(cfg))


@BACKBONE_REGISTRY.register()
def D2AxialResNet(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds MaX-S by the keys `MODEL.AXIAL_RESNET`."""
    refuse_freezing(cfg)
    return build_backbone(settings.axial_resnet(cfg))


@BACKBONE_REGISTRY.register()
def D2Timm(cfg: CfgNode, input_shape: ShapeSpec) -> TimmFeatures:
    """Builds the model of timm that `MODEL.TIMM` names.

    Its batch norms, if it has any, share their statistics between GPUs like those of the head.
    """
    refuse_freezing(cfg)
    backbone = build_backbone(settings.timm(cfg))
    if cfg.MODEL.KMAX_DEEPLAB.NORM == "SyncBN" and cfg.MODEL.DEVICE.startswith("cuda"):
        backbone.body = convert_sync_batchnorm(backbone.body)
    return backbone


@BACKBONE_REGISTRY.register()
def kMaXBackbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds any backbone of the core by the keys `MODEL.KMAX_DEEPLAB.BACKBONE`."""
    refuse_freezing(cfg)
    return build_backbone(settings.by_kind(cfg))


def refuse_freezing(cfg: CfgNode) -> None:
    """Refuses MODEL.BACKBONE.FREEZE_AT for a backbone that does not know it.

    Raises:
        ValueError: it is not 0.
    """
    if cfg.MODEL.BACKBONE.FREEZE_AT > 0:
        raise ValueError(
            f"MODEL.BACKBONE.FREEZE_AT is {cfg.MODEL.BACKBONE.FREEZE_AT}, but only the ResNet "
            f"(custom_bn_build_resnet_backbone) can be frozen, not {cfg.MODEL.BACKBONE.NAME}: set "
            "it to 0, or SOLVER.BACKBONE_MULTIPLIER to 0.0"
        )
