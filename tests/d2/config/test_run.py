from pathlib import Path

import pytest
import torch

from kmax_deeplab.d2.config.check import flatten_values
from kmax_deeplab.d2.config.run import adapt_to_machine, load_config

CONFIG = Path(__file__).parents[3] / "configs" / "shapes" / "kmax_convnext_demo.yaml"


def test_the_command_line_has_the_last_word():
    assert load_config(CONFIG, ["SOLVER.MAX_ITER", "7"]).SOLVER.MAX_ITER == 7


def test_a_missing_config_is_named():
    with pytest.raises(FileNotFoundError, match=r"no/such\.yaml"):
        load_config("no/such.yaml")


def test_without_cuda_a_run_goes_to_the_cpu_in_full_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = load_config(CONFIG, ["SOLVER.AMP.ENABLED", "True"])
    changes = adapt_to_machine(cfg)
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == ("cpu", False)
    assert len(changes) == 2


def test_with_cuda_a_run_stays_as_configured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cfg = load_config(CONFIG, ["SOLVER.AMP.ENABLED", "True"])
    assert adapt_to_machine(cfg) == []
    assert (cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED) == ("cuda", True)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_convolutions_are_channels_last_and_gpus_look_for_the_fastest(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cfg = load_config(CONFIG, ["MODEL.DEVICE", device])
    adapt_to_machine(cfg)
    found = flatten_values(cfg)
    assert found["CUDNN_BENCHMARK"] is (device == "cuda")
    assert found["MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT"]


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A folder with a base that names weights, a leaf in a folder below, and elsewhere to work."""
    entry = "{name: mine, images: data/images, json: data/x.json, pngs: data/pngs}"
    base = f"VERSION: 2\nMODEL: {{WEIGHTS: r50.pth}}\nDATASETS: {{PANOPTIC: [{entry}]}}\n"
    (tmp_path / "leaves").mkdir()
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "leaves" / "leaf.yaml").write_text("_BASE_: ../base.yaml\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def test_paths_belong_to_the_file_that_writes_them(configs):
    cfg = load_config("../leaves/leaf.yaml")
    assert Path(cfg.MODEL.WEIGHTS).resolve() == configs / "r50.pth"
    images = Path(cfg.DATASETS.PANOPTIC[0]["images"])
    assert (images.is_absolute(), images.resolve()) == (True, configs / "data" / "images")
    assert cfg.DATASETS.PANOPTIC[0]["name"] == "mine"
    (configs / "leaves" / "leaf.yaml").write_text("_BASE_: ../base.yaml\nMODEL: {WEIGHTS: x.pth}")
    assert Path(load_config("../leaves/leaf.yaml").MODEL.WEIGHTS) == (
        configs / "elsewhere" / ".." / "leaves" / "x.pth"
    )


def test_paths_of_the_command_line_belong_to_the_working_directory(configs):
    cfg = load_config("../leaves/leaf.yaml", ["MODEL.WEIGHTS", "mine.pth"])
    assert Path(cfg.MODEL.WEIGHTS) == configs / "elsewhere" / "mine.pth"


@pytest.mark.parametrize("weights", ["", "timm://resnet50", "https://x.org/y.pth", "/a/b.pth"])
def test_addresses_and_absolute_paths_stay(configs, weights):
    (configs / "base.yaml").write_text(f"VERSION: 2\nMODEL: {{WEIGHTS: '{weights}'}}\n")
    cfg = load_config("../leaves/leaf.yaml")
    assert weights == cfg.MODEL.WEIGHTS
