import json

import pytest

import train_net
from kmax_deeplab.checkpoint import timm_hub
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.suggest import timing
from tests.scripts import exit_status, load_script

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def script():
    return load_script("tools/suggest_config.py")


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A machine without GPU and without weights, which measures two iterations."""
    monkeypatch.delenv("KMAX_WEIGHTS", raising=False)
    monkeypatch.setattr(timm_hub, "try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(timing, "FIRST", 1)
    monkeypatch.setattr(timing, "RUNS", 1)
    return tmp_path


@pytest.mark.slow
def test_what_it_writes_trains_and_evaluates_without_an_edit(script, here, shapes, capsys):
    output = here / "mine.yaml"
    arguments = (shapes, "--output", output, "--minutes", 0.001, "--no-up")
    assert exit_status(script.main, *arguments) == 0
    printed = capsys.readouterr().out
    assert "6 images" in printed and f"train_net.py --config-file {output}" in printed
    assert "measuring an iteration of 97x97 pixels" in printed
    assert "INPUT.IMAGE_SIZE" in printed and "few: give more --minutes" in printed
    lines = output.read_text().splitlines()
    assert len(lines) <= 45 and any("# the images have no up and down" in line for line in lines)
    cfg = load_config(output)
    assert list(cfg.INPUT.IMAGE_SIZE) == [97, 97] and cfg.SOLVER.MAX_ITER == 1
    train_net.main(train_net.parse_args(["--config-file", str(output)]))
    scores = [json.loads(x) for x in (here / "mine" / "metrics.json").read_text().splitlines()]
    assert "panoptic_seg/PQ" in scores[-1]
    assert (here / "mine" / "model_final.pth").is_file()


def test_a_config_that_is_there_is_not_replaced_unasked(script, here, shapes):
    output = here / "mine.yaml"
    output.write_text("mine")
    told = exit_status(script.main, shapes, "--output", output)
    assert f"{output}: there is such a file; --force" in str(told)
    assert output.read_text() == "mine"


def test_what_cannot_be_used_is_named(script, here, shapes):
    assert "no such folder" in str(exit_status(script.main, here / "nothing"))
    assert exit_status(script.main) == 2
    assert exit_status(script.main, shapes, "--minutes", 0) == 2
    broken = here / "broken.json"
    broken.write_text("{")
    places = ("--images", shapes / "train" / "images", "--pngs", shapes / "train" / "panoptic")
    output = ("--output", here / "x.yaml")
    told = exit_status(script.main, "--json", broken, *places, *output)
    assert f"{broken}: not a JSON file" in str(told)
    content = json.loads((shapes / "train" / "panoptic.json").read_text())
    del content["annotations"][0]["segments_info"][0]["area"]
    broken.write_text(json.dumps(content))
    told = exit_status(script.main, "--json", broken, *places, *output)
    assert str(broken) in str(told) and "has the area None" in str(told)
    assert not (here / "x.yaml").exists()
