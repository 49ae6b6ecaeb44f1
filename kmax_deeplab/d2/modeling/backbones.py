"""Backbones in Detectron2's registry: config and input shape in, a `Backbone` out."""

from collections.abc import Collection, Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.resnet import BottleneckBlock, CNNBlockBase, ResNet
from torch import Tensor

from kmax_deeplab.d2.modeling.resnet_blocks import EntryActivatedBottleneck, PlainStem
from kmax_deeplab.modeling.axial_resnet import STRIDES, AxialResNet
from kmax_deeplab.modeling.convnext import ConvNeXt
from kmax_deeplab.modeling.layers import Norm, make_norm
from kmax_deeplab.modeling.recomputation import Recomputing

DECLARED_STRIDES = {"stem": 2, "res2": 4, "res3": 8, "res4": 16, "res5": 32}
"""Of ConvNeXt. The stem's true stride is 4; the order of features, stem last, rests on 2."""
DEPTHS = (18, 34, 50, 101, 152)


class LeanResNet(Recomputing, ResNet):
    """Detectron2's ResNet, whose stages may recompute their activations.

    Frozen parts keep their running statistics too, in training as in evaluation.
    """

    _freeze_at = 0

    def freeze(self, freeze_at: int = 0) -> "LeanResNet":
        """Freezes the stem (1), and the stages up to res2 (2), res3 (3), …; returns itself."""
        self._freeze_at = freeze_at
        return super().freeze(freeze_at)

    def train(self, mode: bool = True) -> "LeanResNet":
        """Switches to training or evaluation, but for what is frozen."""
        super().train(mode)
        for frozen in [self.stem, *self.stages][: self._freeze_at]:
            frozen.eval()
        return self

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
    _check_resnet(node)
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


FIXED = {
    "WIDTH_PER_GROUP": (64,),
    "STEM_OUT_CHANNELS": (64,),
    "RES2_OUT_CHANNELS": (256, 64),
    "RES4_DILATION": (1,),
    "RES5_DILATION": (1,),
    "DEFORM_ON_PER_STAGE": ([False] * 4,),
}
"""Keys of Detectron2's ResNet whose other values are not built here."""


def _check_resnet(node: CfgNode) -> None:
    for name, accepted in FIXED.items():
        if node[name] not in accepted:
            raise ValueError(
                f"MODEL.RESNETS.{name} is {node[name]}: only {accepted[0]} is built here"
            )
    if node.DEPTH not in DEPTHS:
        raise ValueError(f"MODEL.RESNETS.DEPTH is {node.DEPTH}: choose from {list(DEPTHS)}")
    if node.DEPTH < 50 and node.NUM_GROUPS != 1:
        raise ValueError(f"MODEL.RESNETS.NUM_GROUPS {node.NUM_GROUPS} needs DEPTH 50, 101 or 152")
    _check_features("MODEL.RESNETS.OUT_FEATURES", node.OUT_FEATURES, DECLARED_STRIDES)


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


@BACKBONE_REGISTRY.register()
class D2ConvNeXt(ConvNeXt, Backbone):
    """ConvNeXt with the features of `MODEL.CONVNEXT.OUT_FEATURES`."""

    def __init__(self, cfg, input_shape: ShapeSpec):
        node = cfg.MODEL.CONVNEXT
        refuse_freezing(cfg)
        if not len(node.DEPTHS) == len(node.DIMS) == 4 or node.IN_CHANNELS != 3:
            raise ValueError(
                f"MODEL.CONVNEXT.DEPTHS {list(node.DEPTHS)} and DIMS {list(node.DIMS)} need four "
                f"numbers each, one a stage, and IN_CHANNELS {node.IN_CHANNELS} must be 3"
            )
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
        refuse_freezing(cfg)
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
