"""Backbones in Detectron2's registry: config and input shape in, a `Backbone` out."""

from collections.abc import Collection, Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.resnet import BottleneckBlock, CNNBlockBase, ResNet
from torch import Tensor

from kmax_deeplab.d2.resnet_blocks import EntryActivatedBottleneck, PlainStem
from kmax_deeplab.modeling.axial_resnet import STRIDES, AxialResNet
from kmax_deeplab.modeling.convnext import ConvNeXt
from kmax_deeplab.modeling.layers import Norm, make_norm
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
    """Builds Detectron2's ResNet-18 to -152 with this network's batch norm (eps 1e-3).

    The keys `MODEL.RESNETS.STEM_POOL` and `ACTIVATE_ON_ENTRY` make it TensorFlow's ResNet-50.
    """
    node = cfg.MODEL.RESNETS
    norm = make_norm(node.NORM, cfg.MODEL.KMAX_DEEPLAB.NORM_MOMENTUM)
    stem = PlainStem(
        input_shape.channels,
        node.STEM_OUT_CHANNELS,
        norm=norm,
        activate=not node.ACTIVATE_ON_ENTRY,
        pool=node.STEM_POOL,
    )
    stages = _bottleneck_stages(node, norm) if node.DEPTH >= 50 else _basic_stages(node, norm)
    return LeanResNet(
        stem, stages, out_features=node.OUT_FEATURES, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT
    )


def _basic_stages(node: CfgNode, norm: Norm) -> list[list[CNNBlockBase]]:
    if node.ACTIVATE_ON_ENTRY or not node.STEM_POOL:
        raise ValueError(
            "MODEL.RESNETS.ACTIVATE_ON_ENTRY True and STEM_POOL False need bottlenecks: "
            f"MODEL.RESNETS.DEPTH 50, 101 or 152, not {node.DEPTH}"
        )
    return ResNet.make_default_stages(node.DEPTH, norm=norm)


def _bottleneck_stages(node: CfgNode, norm: Norm) -> list[list[CNNBlockBase]]:
    kind = EntryActivatedBottleneck if node.ACTIVATE_ON_ENTRY else BottleneckBlock
    settings = {
        "norm": norm,
        "stride_in_1x1": node.STRIDE_IN_1X1,
        "num_groups": node.NUM_GROUPS,
    }
    stages = ResNet.make_default_stages(node.DEPTH, kind, **settings)
    if not node.STEM_POOL:  # res2 has stride 4 all the same
        first = stages[0][0]
        channels = {"bottleneck_channels": first.conv1.out_channels, "stride": 2, **settings}
        stages[0][0] = kind(first.in_channels, first.out_channels, **channels)
    return stages


DECLARED_STRIDES = {"stem": 2, "res2": 4, "res3": 8, "res4": 16, "res5": 32}
"""Of ConvNeXt. The stem's true stride is 4; the order of features, stem last, rests on 2."""


@BACKBONE_REGISTRY.register()
class D2ConvNeXt(ConvNeXt, Backbone):
    """ConvNeXt with the features of `MODEL.CONVNEXT.OUT_FEATURES`."""

    def __init__(self, cfg, input_shape: ShapeSpec):
        node = cfg.MODEL.CONVNEXT
        _check_features("MODEL.CONVNEXT.OUT_FEATURES", node.OUT_FEATURES, DECLARED_STRIDES)
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


@BACKBONE_REGISTRY.register()
class D2AxialResNet(AxialResNet, Backbone):
    """MaX-S by the keys `MODEL.AXIAL_RESNET`."""

    def __init__(self, cfg, input_shape: ShapeSpec):
        node = cfg.MODEL.AXIAL_RESNET
        _check_features("MODEL.AXIAL_RESNET.OUT_FEATURES", node.OUT_FEATURES, STRIDES)
        super().__init__(
            node.DEPTHS,
            node.AXIAL_DEPTHS,
            stem_channels=node.STEM_CHANNELS,
            drop_path=node.DROP_PATH_PROBS,
            norm=make_norm(cfg.MODEL.KMAX_DEEPLAB.NORM, cfg.MODEL.KMAX_DEEPLAB.NORM_MOMENTUM),
        )
        self._out_features = node.OUT_FEATURES
        self._out_feature_strides = STRIDES
        self._out_feature_channels = self.channels

    def forward(self, image):
        """Computes the declared features of an image (B, 3, H, W)."""
        features = super().forward(image)
        return {name: features[name] for name in self._out_features}


def _check_features(key: str, names: Sequence[str], known: Collection[str]) -> None:
    if unknown := set(names) - set(known):
        raise ValueError(f"{key} has {sorted(unknown)}; choose from {list(known)}")
