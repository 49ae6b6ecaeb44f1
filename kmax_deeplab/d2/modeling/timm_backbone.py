"""Models of timm in Detectron2's registry of backbones, by the keys `MODEL.TIMM`."""

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from timm.layers import convert_sync_batchnorm

from kmax_deeplab.d2.modeling.backbones import refuse_freezing
from kmax_deeplab.modeling.timm_features import STRIDES, TimmFeatures


@BACKBONE_REGISTRY.register()
class D2Timm(TimmFeatures, Backbone):
    """The features `MODEL.TIMM.OUT_FEATURES` of the model `MODEL.TIMM.NAME`.

    Its batch norms, if it has any, share their statistics between GPUs like those of the head.
    """

    def __init__(self, cfg, input_shape: ShapeSpec):
        node = cfg.MODEL.TIMM
        refuse_freezing(cfg)
        if len(node.OPTIONS) % 2:
            raise ValueError(
                f"MODEL.TIMM.OPTIONS {list(node.OPTIONS)}: names and values must alternate"
            )
        options = dict(zip(node.OPTIONS[::2], node.OPTIONS[1::2], strict=True))
        if node.DROP_PATH_RATE > 0:
            options["drop_path_rate"] = node.DROP_PATH_RATE
        super().__init__(node.NAME, node.OUT_FEATURES, options)
        if cfg.MODEL.KMAX_DEEPLAB.NORM == "SyncBN" and cfg.MODEL.DEVICE.startswith("cuda"):
            self.body = convert_sync_batchnorm(self.body)
        self._out_features = list(self.channels)
        self._out_feature_strides = STRIDES
        self._out_feature_channels = self.channels
