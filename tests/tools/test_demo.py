import importlib.util
import json
import os
import signal
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from tests.pages import Page
from tests.scripts import exit_status, load_script

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIZE = ("INPUT.IMAGE_SIZE", "(65, 65)", "INPUT.MIN_SIZE_TEST", "65", "INPUT.MAX_SIZE_TEST", "65")
SCHEDULE = ("SOLVER.MAX_ITER", "3", "SOLVER.IMS_PER_BATCH", "2", "SOLVER.CHECKPOINT_PERIOD", "9")


@pytest.fixture(scope="module")
def demo():
    for name in ("shapes_train", "shapes_val"):  # other tests register these names elsewhere
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
    spec = importlib.util.spec_from_file_location("demo", ROOT / "tools" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("output") / "demo"


def run(demo, folder, *flags, seed="7"):
    counts = ("--train-images", "4", "--val-images", "2")
    arguments = (*counts, "--output", str(folder), *flags, *SIZE, *SCHEDULE, "SEED", seed)
    demo.run(demo.parse_args(list(arguments)))


@pytest.fixture
def finished(demo, folder):
    """The folder of a demo that is done, whichever tests ran before in this process."""
    if not (folder / "report.html").is_file():
        run(demo, folder)
    return folder


def test_an_interrupted_demo_continues_where_it_was_and_ends_with_a_report(
    demo, folder, monkeypatch, capsys
):
    def interrupt(progress):
        if progress.trainer.iter == 0:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(demo.ProgressLine, "after_step", interrupt)
        with pytest.raises(SystemExit, match="SIGINT: stopped and saved"):
            run(demo, folder)
    assert not (folder / "report.html").exists()
    capsys.readouterr()

    run(demo, folder)
    printed = capsys.readouterr().out
    assert "continuing at iteration" in printed
    assert "iteration     3/3" in printed
    assert "PQ" in printed
    assert "k-means layer 2" in (folder / "report.html").read_text()


def test_a_finished_demo_only_evaluates_and_reports_the_same_numbers(demo, finished, capsys):
    (finished / "report.html").unlink()
    run(demo, finished)
    printed = capsys.readouterr().out
    assert "Training is done" in printed
    logged = (finished / "training" / "metrics.json").read_text().splitlines()[-1]
    pq = json.loads(logged)["panoptic_seg/PQ"]
    assert f"{pq:.1f}" in next(line for line in printed.splitlines() if line.startswith("all"))
    assert (finished / "report.html").is_file()


def test_the_tables_of_its_report_are_the_figures_of_the_run(demo, finished):
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    results = json.loads((finished / "training/inference/results.json").read_text())["panoptic_seg"]
    (rows,) = page.tables["quality"]
    named = {"all": "", "things": "_th", "stuff": "_st"}
    for name, cells in rows.items():
        suffix = named.get(name, f"-{name}")
        assert cells[:3] == [results.get(kind + suffix) for kind in ("PQ", "SQ", "RQ")]
    (history,) = page.tables["history"]
    lines = map(json.loads, (finished / "training/metrics.json").read_text().splitlines())
    logged = {str(line["iteration"]): line for line in lines if "panoptic_seg/PQ" in line}
    assert history.keys() == logged.keys()
    kinds = [f"panoptic_seg/{kind}" for kind in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st")]
    for iteration, cells in history.items():
        assert cells == [logged[iteration][kind] for kind in kinds]


def test_a_report_compares_a_run_with_what_another_found(demo, finished):
    path = finished / "compared.html"
    place = finished / "training"
    words = ["--weights", place, "--compare", place / "inference", "--images", "1"]
    assert exit_status(load_script("tools/report.py").main, *words, "--output", path) == 0
    page = Page(path.read_text(encoding="utf-8"))
    classes, images = page.tables["comparison"]
    assert {cells[2] for cells in (*classes.values(), *images.values())} <= {0.0, None}
    assert len(images) == 2


def test_the_config_it_writes_names_its_data_from_wherever_it_is_read(demo):
    cfg, _ = demo.read_config(demo.parse_args(["--output", "below/here"]))
    for entry in cfg.DATASETS.PANOPTIC:
        assert Path(entry["json"]).parents[1] == Path.cwd() / "below/here/data"


def test_other_settings_are_refused_in_the_same_folder(demo, finished):
    with pytest.raises(demo.run_stamp.OtherRunError, match=r"SEED: 7 there, 8 now\n.*--restart"):
        run(demo, finished, seed="8")


def test_a_restart_begins_another_run_in_the_folder(demo, finished, capsys):
    run(demo, finished, "--restart", seed="8")
    assert "continuing" not in capsys.readouterr().out
    assert (finished / "report.html").is_file()
