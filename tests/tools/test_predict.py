"""Prediction by several processes, which may be killed at any time, from the command line."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train_net
from kmax_deeplab.d2.engine.opening import PREDICT, open_model, open_run
from kmax_deeplab.data.format.pngs import read_predictions
from kmax_deeplab.predict.origin import origin_of
from kmax_deeplab.predict.predictor import Predictor
from tests.own_data import CATEGORIES, OwnData, truncate
from tests.processes import fork, wait_for
from tests.scripts import exit_status, load_script
from tests.test_one_file import CONFIG, FINDS_ANYTHING
from tests.tiny_run import TINY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

COUNT = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images, model.pth, and whole, the predictions of one undisturbed process."""
    root = tmp_path_factory.mktemp("predict")
    data = OwnData(root / "data")
    changes = {**TINY, **FINDS_ANYTHING, "SOLVER.MAX_ITER": 1, "OUTPUT_DIR": root / "run"}
    changes["DATASETS.PANOPTIC"] = [data.entry("predicted")]
    words = [str(word) for pair in changes.items() for word in pair]
    train_net.main(train_net.parse_args(["--config-file", CONFIG, *words]))
    (root / "run" / "model_final.pth").replace(root / "model.pth")
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        path = root / "images" / f"part{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(path)
    assert predict(root, root / "whole") == 0
    return root


def predict(root, output, *words, weights="model.pth", images="images"):
    """Predicts in this process; returns the exit status."""
    main = load_script("tools/predict.py").main
    return exit_status(main, "--weights", root / weights, "--output", output, *words, root / images)


def start(root, output, *words, said, function="predict"):
    """Starts another process that predicts, and adds what it says to a file."""
    words = ["--weights", root / "model.pth", "--output", output, *words, root / "images"]
    return fork(function, [str(word) for word in words], output=said)


def pngs(output):
    return [path for path in Path(output, "predictions").rglob("*.png") if path.name[0] != "."]


def kill_after(process, output, count):
    """Kills a process once there are so many results."""
    wait_for(lambda: len(pngs(output)) >= count)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def require_whole(output):
    """Requires that every file can be read, and that the JSON agrees with the PNGs it lists."""
    for path in [*pngs(output), *Path(output, "overlays").rglob("[!.]*.png")]:
        Image.open(path).load()
    for entry, ids in read_predictions(output / "predictions.json"):
        assert set(ids.ravel().tolist()) - {0} == {s["id"] for s in entry["segments_info"]}


def files(output):
    """The bytes of all files but the hidden ones."""
    found = (path for path in Path(output).rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(output): path.read_bytes() for path in found}


def test_a_run_that_was_killed_twice_goes_on_and_ends_with_the_very_same_files(
    place, tmp_path, capsys
):
    for count in (5, 17):
        kill_after(start(place, tmp_path, said=tmp_path / ".said"), tmp_path, count)
        require_whole(tmp_path)
    done = {path: path.stat().st_mtime_ns for path in pngs(tmp_path)}
    assert 17 <= len(done) < COUNT
    assert predict(place, tmp_path) == 0
    assert f"{len(done)} of {COUNT} images are predicted already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert files(tmp_path) == files(place / "whole")


def test_shares_at_once_one_of_them_killed_give_the_files_of_one_process(place, tmp_path):
    shares = [tmp_path / f".share_{number}" for number in (1, 2)]
    first, second = (
        start(place, tmp_path, "--share", f"{number}/2", said=said)
        for number, said in enumerate(shares, 1)
    )
    kill_after(second, tmp_path, 10)
    first.join(120)
    said = shares[0].read_text()
    assert first.exitcode == 0, said
    assert f"Share 1 of 2: {COUNT // 2} of {COUNT} images." in said
    assert "of those named are not there, or not yet" in said
    require_whole(tmp_path)
    assert len(list(read_predictions(tmp_path / "predictions.json"))) == len(pngs(tmp_path))
    assert predict(place, tmp_path, "--share", "2/2") == 0
    assert files(tmp_path) == files(place / "whole")


def test_torchrun_shares_the_images_and_a_damaged_one_ends_nobody(place, tmp_path):
    damaged = place / "damaged" / "broken.png"
    damaged.parent.mkdir()
    damaged.write_bytes((place / "images" / "part0" / "0.png").read_bytes())
    truncate(damaged)
    log = tmp_path / ".said"
    process = start(place, tmp_path, damaged, said=log, function="predict_under_torchrun")
    process.join(120)
    said = log.read_text()
    assert process.exitcode == 0, said
    assert f"{damaged} cannot be read" in said
    assert "Share 2 of 2: 20 of 41 images." in said
    assert len(list(read_predictions(tmp_path / "predictions.json"))) == COUNT


def test_a_second_run_predicts_nothing_but_what_is_new(place, tmp_path, capsys):
    assert predict(place, tmp_path) == 0
    before = files(tmp_path)
    newer = place / "images" / "part1" / "1.png"
    status = newer.stat()
    os.utime(newer, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    capsys.readouterr()
    try:
        assert predict(place, tmp_path) == 0
    finally:
        os.utime(newer, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert f"{COUNT - 1} of {COUNT} images are predicted already" in capsys.readouterr().out
    changed = {path for path, content in files(tmp_path).items() if before[path] != content}
    assert changed == {Path("predictions/part1/1.png")}  # which says from what file


def test_a_folder_of_other_weights_or_classes_is_refused_and_left(place, tmp_path):
    before = files(place / "whole")
    content = torch.load(place / "model.pth")
    content["model"] = {name: 2 * value for name, value in content["model"].items()}
    torch.save(content, place / "other.pth")
    said = predict(place, place / "whole", weights="other.pth")
    assert f"{place / 'whole'} holds predictions of other weights: choose another --output" in said
    table = tmp_path / "classes.json"
    table.write_text(json.dumps([{**c, "id": c["id"] + 1} for c in CATEGORIES]))
    assert "of other classes:" in predict(place, place / "whole", "--categories", table)
    assert files(place / "whole") == before


@pytest.mark.parametrize("share", ["9/8", "x", "0/1"])
def test_a_share_that_cannot_be_is_refused_before_anything_is_written(share, place, tmp_path):
    said = predict(place, tmp_path / "out", "--share", share)
    assert said == f"--share {share} cannot be: write 2/8 for the second of eight shares"
    assert not (tmp_path / "out").exists()


def test_with_and_without_detectron2_it_is_the_same_model(place):
    weights = place / "model.pth"
    run = open_run(None, weights=weights, purpose=PREDICT)
    predictors = (Predictor(weights), Predictor(open_model(run.cfg, run.categories)))
    core, edge = (origin_of(p.model, weights, p.categories) for p in predictors)
    assert core == edge
    changed = open_run(None, ["INPUT.MIN_SIZE_TEST", "33"], weights=weights, purpose=PREDICT)
    model = open_model(changed.cfg, changed.categories)
    assert origin_of(model, weights, run.categories)["settings"] != core["settings"]
    assert origin_of(model, "timm://name", run.categories)["weights"] != core["weights"]
