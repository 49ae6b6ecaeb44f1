"""Own data from the command line: train, evaluate, predict and report, without a line of Python."""

import json
from types import SimpleNamespace

import pytest

import train_net
from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.data.format.pngs import read_predictions
from kmax_deeplab.predict.listing import Entry
from tests.own_data import CATEGORIES, SIZE, OwnData, truncate
from tests.scripts import ROOT, exit_status, load_script
from tests.tiny_run import TINY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CONFIG = str(ROOT / "configs" / "custom" / "kmax_trial_on_cpu.yaml")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Training and validation data."""
    root = tmp_path_factory.mktemp("own")
    return OwnData(root / "train"), OwnData(root / "val", count=2)


@pytest.fixture(scope="module")
def trained(data):
    """The output folder and the results of a short training."""
    train, val = data
    output = train.root.parent / "output"
    entries = [train.entry("own_train"), val.entry("own_val")]
    changes = {**TINY, "DATASETS.PANOPTIC": entries, "SOLVER.MAX_ITER": 2, "OUTPUT_DIR": output}
    options = [str(word) for pair in changes.items() for word in pair]
    return output, train_net.main(train_net.parse_args(["--config-file", CONFIG, *options]))


@pytest.fixture
def predict(trained):
    """A function that predicts with the trained weights and returns the exit status."""
    output, _ = trained
    main = load_script("tools/predict.py").main
    words = ("--config-file", output / "config.yaml", "--weights", output / "model_final.pth")
    return lambda *more: exit_status(main, *words, *more)


def test_mixed_formats_text_ids_and_scattered_categories_train_and_evaluate(trained):
    output, results = trained
    assert {f"PQ-{category['name']}" for category in CATEGORIES} <= results["panoptic_seg"].keys()
    assert "NUM_CLASSES: 3" in (output / "config.yaml").read_text()
    last = json.loads((output / "metrics.json").read_text().splitlines()[-1])
    assert "panoptic_seg/PQ" in last


def test_the_written_config_evaluates_again(trained):
    output, results = trained
    words = ("--config-file", str(output / "config.yaml"), "--eval-only")
    weights = ("MODEL.WEIGHTS", str(output / "model_final.pth"))
    again = train_net.main(train_net.parse_args([*words, *weights]))
    assert again["panoptic_seg"] == pytest.approx(results["panoptic_seg"], nan_ok=True)


def test_folders_are_predicted_in_the_official_format_with_overlays(predict, data, tmp_path):
    val = data[1]
    assert predict(val.images, "--output", tmp_path) == 0
    predicted = list(read_predictions(tmp_path / "predictions.json"))
    assert [annotation["image_id"] for annotation, _ in predicted] == ["part0/sub/0", "part1/sub/1"]
    for annotation, ids in predicted:
        assert ids.shape == SIZE
        listed = {segment["id"] for segment in annotation["segments_info"]}
        assert set(ids.ravel().tolist()) - {0} == listed
        used = {segment["category_id"] for segment in annotation["segments_info"]}
        assert used <= {7, 300, 12}
        assert (tmp_path / "overlays" / annotation["file_name"]).is_file()


def test_a_damaged_image_is_named_and_counted_and_the_others_are_predicted(
    predict, tmp_path, capsys
):
    data = OwnData(tmp_path / "data")
    damaged = truncate(data.image_path(3))
    assert predict(data.images, "--output", tmp_path / "out") == 1
    shown = capsys.readouterr().err
    assert f"{damaged} cannot be read" in shown
    assert "1 of 4 images could not be read" in shown
    assert len(list(read_predictions(tmp_path / "out" / "predictions.json"))) == 3


def test_a_killed_prediction_leaves_a_json_of_what_is_done(trained, tmp_path, monkeypatch):
    output, _ = trained
    data = OwnData(tmp_path / "data")
    script = load_script("tools/predict.py")
    left, predict_folder = [], script.predict_folder

    def look_and_go_on(*given, **words):
        for name in predict_folder(*given, **words):
            found = read_predictions(tmp_path / "out" / "predictions.json") if left else ()
            left.append({annotation["image_id"] for annotation, _ in found})
            yield name

    monkeypatch.setattr(script, "predict_folder", look_and_go_on)
    words = ("--config-file", output / "config.yaml", "--weights", output / "model_final.pth")
    assert exit_status(script.main, *words, "--output", tmp_path / "out", data.images) == 0
    done = ["part0/sub/0", "part0/sub/2", "part1/sub/1", "part1/sub/3"]
    assert len(left) == len(done)
    assert all(found >= set(done[:count]) for count, found in enumerate(left))


def test_results_never_lie_among_the_images(predict, tmp_path):
    data = OwnData(tmp_path / "data")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for output in (data.images, tmp_path):
        assert "choose another --output" in predict(data.images, "--output", output)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_used_up_queries_are_said(capsys):
    script = load_script("tools/predict.py")
    entries = {name: Entry("[]", is_crowded=name in "ab") for name in "abcd"}
    results, mine = SimpleNamespace(entries=entries), dict.fromkeys("abc")
    script.warn_of_crowded(results, mine, 10)
    assert "2 of 3 images have nearly as many segments" in capsys.readouterr().err
    script.warn_of_crowded(results, {"c": None}, 10)
    assert not capsys.readouterr().err


def test_categories_may_come_from_a_file(predict, data, tmp_path):
    table = tmp_path / "classes.json"
    table.write_text(json.dumps([{**c, "id": c["id"] + 1000} for c in CATEGORIES]))
    words = ("--categories", table, "--output", tmp_path / "out")
    assert predict(data[1].image_path(0), *words) == 0
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [category["id"] for category in content["categories"]] == [1007, 1300, 1012]
    table.write_text(json.dumps(CATEGORIES[:2]))
    assert "lacks the model's classes ['vessel']" in predict(data[1].image_path(0), *words)


def test_a_dataset_in_another_order_gives_the_same_results(trained, data, tmp_path):
    output, results = trained
    val = data[1]
    content = {**val.content, "categories": val.content["categories"][::-1]}
    (tmp_path / "turned.json").write_text(json.dumps(content))
    entry = {**val.entry("own_turned"), "json": str(tmp_path / "turned.json")}
    words = ("--config-file", str(output / "config.yaml"), "--eval-only", "MODEL.WEIGHTS")
    places = ("DATASETS.PANOPTIC", str([entry]), "DATASETS.TEST", "('own_turned',)")
    more = (*places, "DATASETS.TRAIN", "()", "OUTPUT_DIR", str(tmp_path / "out"))
    again = train_net.main(train_net.parse_args([*words, str(output / "model_final.pth"), *more]))
    assert again["panoptic_seg"] == pytest.approx(results["panoptic_seg"], nan_ok=True)


def test_a_checkpoint_names_its_classes_and_so_do_its_conversions(trained, tmp_path):
    weights = trained[0] / "model_final.pth"
    assert list(read_identity(weights).categories.rows()) == [
        (7, "ground", False),
        (300, "cell", True),
        (12, "vessel", False),
    ]
    script = load_script("tools/convert_checkpoint.py")
    for name in ("a.pth", "a.safetensors", "a.pkl"):
        script.convert(script.parse_args([str(weights), str(tmp_path / name)]))
        assert read_identity(tmp_path / name) == read_identity(weights)


def test_a_prediction_needs_no_dataset_where_the_checkpoint_names_its_classes(
    predict, data, tmp_path
):
    nowhere = ("--opts", "DATASETS.PANOPTIC", "[]", "DATASETS.TEST", "()", "DATASETS.TRAIN", "()")
    words = ("--output", tmp_path, *nowhere)
    assert predict(data[1].image_path(0), *words) == 0
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["ground", "cell", "vessel"]


def test_what_cannot_be_predicted_is_said(predict, tmp_path):
    assert f"{tmp_path / 'none'} does not exist" in predict(tmp_path / "none")
    assert f"{tmp_path} holds no image" in predict(tmp_path)
    for suffix in (".png", ".jpg"):
        (tmp_path / f"a{suffix}").touch()
    assert "would both be named 'a'" in predict(tmp_path)


def test_the_report_shows_scores_curves_and_pictures(trained):
    output, _ = trained
    main = load_script("tools/report.py").main
    words = ("--config-file", output / "config.yaml", "--weights", output / "model_final.pth")
    assert exit_status(main, *words, "--title", "Mine", "--images", 1) == 0
    page = (output / "report.html").read_text()
    assert "<h1>Mine</h1>" in page
    assert "image image-0" in page
    assert "image image-1" not in page
    assert "total_loss" in page
    (output / "elsewhere").mkdir()
    moved = output / "elsewhere" / "model.pth"
    moved.symlink_to(output / "model_final.pth")
    assert exit_status(main, *words[:3], moved, "--images", 1) == 0
    assert "<h2>Losses</h2>" not in (output / "elsewhere" / "report.html").read_text()
