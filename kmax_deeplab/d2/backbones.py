"""Backbones in Detectron2's registry: config and input shape in, a `Backbone` out."""

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.resnet import BasicStem, ResNet
from torch import Tensor

from kmax_deeplab.modeling.convnext import ConvNeXt
from kmax_deeplab.modeling.layers import make_norm
from kmax_deeplab.modeling.recomputation import Recomputing


class LeanResNet(Recomputing, ResNet):
    """Detectron2's ResNet, whose stages may recompute their activations."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Computes the declared features of an image (B, 3, H, W)."""
        x = self.stem(image)
        features = {"stem": x}
        for name, stage in zip(self.stage_names, self.stages, strict=True):
            x = self.run(stage, x)
            features[name] = x
        return {name: features[name] for name in self._out_features}


@BACKBONE_REGISTRY.register()
def custom_bn_build_resnet_backbone(cfg, input_shape: ShapeSpec) -> LeanResNet:
    """Builds Detectron2's ResNet-18 to -152 with this network's batch norm (eps 1e-3)."""
    node = cfg.MODEL.RESNETS
    norm = make_norm(node.NORM, cfg.MODEL.KMAX_DEEPLAB.NORM_MOMENTUM)
    stem = BasicStem(input_shape.channels, node.STEM_OUT_CHANNELS, norm=norm)
    bottleneck = {
        "stride_in_1x1": node.STRIDE_IN_1X1,
        "num_groups": node.NUM_GROUPS,
    }
    stages = ResNet.make_default_stages(
        node.DEPTH, norm=norm, **(bottleneck if node.DEPTH >= 50 else {})
    )
    return LeanResNet(
        stem, stages, out_features=node.OUT_FEATURES, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT
    )


DECLARED_STRIDES = {"stem": 2, "res2": 4, "res3": 8, "res4": 16, "res5": 32}
"""Of ConvNeXt. The stem's true stride is 4; the released order of features rests on 2."""


@BACKBONE_REGISTRY.register()
class D2ConvNeXt(ConvNeXt, Backbone):
    """ConvNeXt with the features of `MODEL.CONVNEXT.OUT_FEATURES`."""

    def __init__(self, cfg, input_shape: ShapeSpec):
        node = cfg.MODEL.CONVNEXT
        unknown = set(node.OUT_FEATURES) - set(DECLARED_STRIDES)
        if unknown:
            raise ValueError(
                f"MODEL.CONVNEXT.OUT_FEATURES has {sorted(unknown)}; "
                f"choose from {list(DECLARED_STRIDES)}"
            )
        super().__init__(
            node.DEPTHS,
            node.DIMS,
            drop_path_rate=node.DROP_PATH_RATE,
            layer_scale=node.LSIT,
            in_channels=node.IN_CHANNELS,
        )
        channels = dict(zip(DECLARED_STRIDES, [node.DIMS[0], *node.DIMS], strict=True))
        self._out_features = node.OUT_FEATURES
        self._out_feature_strides = DECLARED_STRIDES
        self._out_feature_channels = channels

    def forward(self, image):
        """Computes the declared features of an image (B, 3, H, W)."""
        features = super().forward(image)
        return {name: features[name] for name in self._out_features}
