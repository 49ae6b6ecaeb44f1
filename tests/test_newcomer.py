"""What somebody new to the code adds: how little has to be opened for it."""

from dataclasses import fields

import pytest
import torch
from detectron2.evaluation import DatasetEvaluator
from torch import nn

from kmax_deeplab.d2.config.keys import LOSS_KEYS
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.data.catalog import register_from_config
from kmax_deeplab.d2.engine.opening import build
from kmax_deeplab.d2.evaluation import build as evaluation
from kmax_deeplab.d2.modeling import settings
from kmax_deeplab.losses.criterion import LossSettings
from kmax_deeplab.model.build import BACKBONES, build_model
from kmax_deeplab.modeling.backbone import Backbone
from tests.d2.modeling.test_meta_arch import CLASSES, TINY, sample
from tests.own_data import OwnData
from tests.scripts import ROOT

CONFIG = ROOT / "configs" / "shapes" / "kmax_convnext_demo.yaml"


class Pyramid(Backbone):
    """A backbone of four strided convolutions."""

    def __init__(self, width: int):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(channels, width, kernel, stride, kernel // 2)
            for channels, kernel, stride in ((3, 7, 4), *[(width, 3, 2)] * 3)
        )
        self._choose(None, {f"res{index + 2}": width for index in range(4)})

    def forward(self, image):
        features = {}
        for name, stage in zip(self.channels, self.stages, strict=True):
            image = features[name] = stage(image)
        return self._chosen(features)


@pytest.mark.slow
def test_a_backbone_is_a_module_and_a_line_in_a_table(tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "pyramid", Pyramid)
    path = tmp_path / "mine.yaml"
    path.write_text(f"""
_BASE_: {CONFIG}
MODEL:
  BACKBONE: {{NAME: kMaXBackbone}}
  KMAX_DEEPLAB:
    BACKBONE: {{kind: pyramid, width: 24}}
""")
    words = [word for pair in TINY.items() for word in pair]
    model = build(load_config(path, words), CLASSES)
    losses = model.train()([sample(), sample()])
    assert all(loss.isfinite() for loss in losses.values())
    again = build_model(model.description, CLASSES)
    assert again.state_dict().keys() == model.state_dict().keys()


def test_a_kind_of_backbone_that_is_not_named_or_not_there_is_refused():
    words = [word for pair in TINY.items() for word in pair]
    cfg = load_config(CONFIG, [*words, "MODEL.BACKBONE.NAME", "kMaXBackbone"])
    with pytest.raises(ValueError, match=r"KMAX_DEEPLAB\.BACKBONE .*'resnet'"):
        build(cfg, CLASSES)
    cfg.MODEL.KMAX_DEEPLAB.BACKBONE.kind = "nothing"
    with pytest.raises(ValueError, match=r"unknown backbone 'nothing'.*'resnet'"):
        build(cfg, CLASSES)


class CountedPixels(DatasetEvaluator):
    """A metric of one's own: the share of pixels that belong to a segment."""

    def __init__(self, task):
        self.task = task

    def reset(self):
        self.shares = []

    def process(self, inputs, outputs):
        self.shares += [(output["panoptic_seg"][0] > 0).float().mean() for output in outputs]

    def evaluate(self):
        return {self.task.name: {"covered": 100 * float(torch.stack(self.shares).mean())}}


def test_a_dataset_with_a_metric_of_its_own_is_a_file_and_a_line_in_a_table(tmp_path, monkeypatch):
    table = {"covered": {"PANOPTIC_ON": CountedPixels}}
    monkeypatch.setattr(evaluation, "EVALUATORS", {**evaluation.EVALUATORS, **table})
    data = OwnData(tmp_path / "mine")
    entry = {**data.entry(tmp_path.name), "evaluator": "covered"}
    cfg = load_config(CONFIG, ["DATASETS.PANOPTIC", str([entry])])
    register_from_config(cfg)
    evaluator = evaluation.build_evaluator(cfg, tmp_path.name, str(tmp_path / "out"))
    evaluator.reset()
    evaluator.process([{"image_id": "image-0"}], [{"panoptic_seg": (torch.eye(4).int(), [])}])
    assert evaluator.evaluate() == {tmp_path.name: {"covered": 25.0}}


def test_an_evaluator_that_nobody_wrote_is_refused(tmp_path):
    data = OwnData(tmp_path / "mine")
    entry = {**data.entry(tmp_path.name), "evaluator": "unheard"}
    cfg = load_config(CONFIG, ["DATASETS.PANOPTIC", str([entry])])
    register_from_config(cfg)
    with pytest.raises(ValueError, match=r"evaluator_type 'unheard'; there are \['coco"):
        evaluation.build_evaluator(cfg, tmp_path.name, str(tmp_path / "out"))


def test_every_setting_of_the_losses_is_a_key_with_its_default_and_reaches_them():
    cfg = load_config(CONFIG)
    node = cfg.MODEL.KMAX_DEEPLAB
    for number, setting in enumerate(fields(LossSettings)):
        kind = type(setting.default)
        node[LOSS_KEYS[setting.name]] = kind(number) if kind is not bool else not setting.default
    read = settings.losses(cfg)
    for number, setting in enumerate(fields(LossSettings)):
        kind = type(setting.default)
        expected = kind(number) if kind is not bool else not setting.default
        assert getattr(read, setting.name) == expected
