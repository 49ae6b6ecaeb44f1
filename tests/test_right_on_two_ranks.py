"""What is right on every input with one process is right with two, and is refused as well."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.own_data import OwnData, truncate
from tests.processes import Ranks
from tests.test_train_net import finished  # noqa: F401  a fixture
from tests.tiny_run import ROOT, TINY, command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CONFIG = str(ROOT / "configs/custom/kmax_trial_on_cpu.yaml")
FAST = {"SEED": 3, "DATALOADER.NUM_WORKERS": 0, "DIST.TIMEOUT": 20}
EVERYTHING = {f"MODEL.KMAX_DEEPLAB.TEST.{kind}_ON": True for kind in ("SEMANTIC", "INSTANCE")}


def test_own_data_of_all_kinds_trains_on_two_ranks_and_evaluates_as_on_one(tmp_path):
    train, val = OwnData(tmp_path / "train", count=5), OwnData(tmp_path / "val", count=3)
    damaged = truncate(train.image_path(4))
    entries = [train.entry("own_train"), val.entry("own_val")]
    changes = {**TINY, **FAST, **EVERYTHING, "DATASETS.PANOPTIC": entries, "SOLVER.MAX_ITER": 3}
    folders = [tmp_path / number for number in "12"]
    more = ["--eval-only", "MODEL.WEIGHTS", str(folders[1] / "model_final.pth")]
    for count in (2, 1):
        words = [str(x) for pair in changes.items() for x in pair]
        words += ["OUTPUT_DIR", str(folders[count - 1]), *(more if count == 1 else [])]
        Ranks(count, "train", ["--config-file", CONFIG, *words], tmp_path).succeed()
    assert f"Left out {damaged}" in "\n".join(p.read_text() for p in folders[1].glob("log.txt*"))
    one, two = (json.loads((x / "inference/results.json").read_text()) for x in folders)
    assert one == two and {"panoptic_seg", "sem_seg", "segm"} < one.keys()


def nan_weights(folder, finished):
    content = torch.load(finished / "model_final.pth")
    next(iter(content["model"].values()))[:] = torch.nan
    torch.save(content, folder / "nan.pth")
    return ["--eval-only"], {"MODEL.WEIGHTS": folder / "nan.pth"}, "nan.pth cannot be used: 1 of"


def another_run(folder, finished):
    shutil.copytree(finished, folder / "run")
    return [], {"OUTPUT_DIR": folder / "run"}, "continue it with --resume"


def only_damaged_checkpoints(folder, finished):
    (folder / "run").mkdir()
    (folder / "run" / "model_0000001.pth").write_bytes(b"PK")
    return ["--resume"], {"OUTPUT_DIR": folder / "run"}, "there is no other complete checkpoint"


def pngs_of_another_set(folder, finished):
    weights = {"MODEL.WEIGHTS": finished / "model_final.pth"}
    for path in (folder / "data/val/panoptic").glob("*.png"):
        pixels = np.asarray(Image.open(path))
        Image.fromarray(pixels[..., ::-1].copy()).save(path)
    return ["--eval-only"], weights, "in the PNG, not in the JSON"


def an_image_that_vanished(folder, finished):
    weights = {"MODEL.WEIGHTS": finished / "model_final.pth"}
    sorted((folder / "data/val/images").iterdir())[1].unlink()
    return ["--eval-only"], weights, "does not exist"


def too_many_queries_for_the_checkpoint(folder, finished):
    shutil.copytree(finished, folder / "run")
    changes = {"MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES": 20}
    return ["--resume"], {**changes, "OUTPUT_DIR": folder / "run"}, "does not fit this model"


FAULTS = [
    *(nan_weights, another_run, only_damaged_checkpoints, pngs_of_another_set),
    *(an_image_that_vanished, too_many_queries_for_the_checkpoint),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_one_process_refuses_two_refuse_in_one_sentence(fault, finished, shapes, tmp_path):
    shutil.copytree(shapes, tmp_path / "data")
    options, changes, complaint = fault(tmp_path, finished[0])
    words = command(tmp_path / "data", tmp_path / "out", *options, **{**FAST, **changes})
    ranks = Ranks(2, "train", words, tmp_path)
    assert ranks.finish(40) == [1, 1], ranks.said()
    said = [line for line in ranks.said().splitlines() if complaint in line]
    spoken = [line for line in said if "The run ends: " not in line]
    assert len(spoken) == 1 and "Traceback" not in ranks.said(), ranks.said()
