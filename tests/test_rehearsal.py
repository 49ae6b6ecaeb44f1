"""--fast-dev-run of every config, and --dry-run: what a run will do, before it does."""

import json
from pathlib import Path

import pytest
import torch

import train_net
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.engine import preview, rehearsal
from kmax_deeplab.modeling import resnet, semantic_predictor, transformer_decoder
from tests.test_train_net import run
from tests.tiny_run import ROOT, TINY, command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*.yaml") if "_base_" not in p.parts)
SMALL = {
    **{key: value for key, value in TINY.items() if key.startswith(("MODEL.", "INPUT."))},
    "MODEL.AXIAL_RESNET.DEPTHS": [1, 1, 1, 1],
    "MODEL.AXIAL_RESNET.AXIAL_DEPTHS": [0, 0, 1, 1],
    "MODEL.AXIAL_RESNET.DROP_PATH_PROBS": [0.0, 0.0, 0.1, 0.1],
    "MODEL.AXIAL_RESNET.STEM_CHANNELS": 8,
    "DATALOADER.NUM_WORKERS": 0,
}
"""Sizes at which every config trains in a second; the rest stays, and the pictures of some."""
PICTURED = [
    ROOT / "configs" / place / "panoptic_segmentation" / f"{name}.yaml"
    for place, name in (("coco", "kmax_r50"), ("cityscapes", "tf_kmax_r50"))
]
"""One of each kind of auxiliary head."""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_every_config_trains_saves_and_evaluates_on_any_machine(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    monkeypatch.setattr(resnet, "STEM_CHANNELS", 8)
    monkeypatch.setattr(transformer_decoder, "CHANNELS", 16)
    monkeypatch.setattr(semantic_predictor, "CHANNELS", 16)
    monkeypatch.setattr(rehearsal, "ITERATIONS", 2)
    monkeypatch.setattr(rehearsal, "IMAGES", 2)
    monkeypatch.setattr(rehearsal, "SIZE", (60, 80))
    stages = len(load_config(path).MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS)
    decoder = {
        "MODEL.WEIGHTS": "",
        "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS": [1] * stages,
        "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_CHANNELS": [16] * stages,
    }
    pictures = {} if path in PICTURED else {"TEST.SHOWN_IMAGES": 0}
    words = [str(word) for pair in {**SMALL, **decoder, **pictures}.items() for word in pair]
    output = str(tmp_path / "out")  # absolute: Detectron2 opens a log once for a name
    args = ["--config-file", str(path), "--fast-dev-run", *words, "OUTPUT_DIR", output]
    results = train_net.main(train_net.parse_args(args))
    assert "PQ" in results["panoptic_seg"]
    folder = tmp_path / "out" / "fast_dev_run"
    saved = torch.load(folder / "model_final.pth", weights_only=False)  # in a tenth of the time
    assert saved["iteration"] == 1 and (folder / "model_0000000.pth").is_file()
    lines = [json.loads(line) for line in (folder / "metrics.json").open()]
    assert any("total_loss" in line for line in lines)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["fast_dev_run"]
    assert "the images are synthetic" in (folder / "log.txt").read_text()


def test_data_that_is_there_is_used_and_the_run_itself_left_alone(shapes, tmp_path):
    (tmp_path / "model_final.pth").write_bytes(b"of an earlier run")
    (tmp_path / "fast_dev_run").mkdir()
    (tmp_path / "fast_dev_run" / "model_final.pth").write_bytes(b"of an earlier rehearsal")
    run(shapes, tmp_path, "--fast-dev-run", **{"SOLVER.ACCUMULATE": 4})
    assert (tmp_path / "model_final.pth").read_bytes() == b"of an earlier run"
    log = (tmp_path / "fast_dev_run" / "log.txt").read_text()
    assert "synthetic" not in log and "× 2 images × 2 accumulated" in log


def test_a_dry_run_tells_data_model_memory_and_schedule_and_writes_nothing(
    shapes, tmp_path, capsys, monkeypatch
):
    output, analysed, analyse = tmp_path / "out", [], preview.analyse_training
    monkeypatch.setattr(preview, "analyse_training", lambda cfg: analysed.append(0) or analyse(cfg))
    assert run(shapes, output, "--dry-run", **{"SOLVER.MAX_ITER": 300}) == {}
    said = capsys.readouterr().out
    for part in (
        r"shapes_train  train             6",
        "transformer decoder",
        "Least memory of a process on cpu with 2 images of 65 × 65: ",
        "Effective batch 2 = 1 processes × 2 images × 1 accumulated; learning rate 0.02",
        "151          50.00    0.0107",
        "151 checkpoints of 0.02 GB",
    ):
        assert part in said, said
    assert not output.exists() and len(analysed) == 1


def test_a_dry_run_refuses_what_a_run_would(shapes, tmp_path):
    with pytest.raises(ValueError, match="IMS_PER_BATCH"):
        run(shapes, tmp_path, "--dry-run", **{"SOLVER.IMS_PER_BATCH": 0})


@pytest.mark.parametrize("other", ["--resume", "--restart", "--eval-only"])
def test_a_rehearsal_excludes_what_it_cannot_mean(other, shapes, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_net.parse_args([*command(shapes, Path(tmp_path), "--fast-dev-run"), other])
    assert "--fast-dev-run begins anew" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["--fast-dev-run", "--eval-only"])
def test_a_dry_run_excludes_what_runs(other, shapes, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_net.parse_args([*command(shapes, Path(tmp_path), "--dry-run"), other])
    assert "--dry-run runs nothing: leave out" in capsys.readouterr().err
