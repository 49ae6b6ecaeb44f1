"""A predictor that is saved as the hub keeps models, and opened again, sees the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, ModelCard

from kmax_deeplab.checkpoint.files import write_checkpoint
from kmax_deeplab.checkpoint.identity import identity_of
from kmax_deeplab.predict import hub
from kmax_deeplab.predict.predictor import Predictor
from tests.tiny_model import NAMES, tiny_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file that says all of its model."""
    model, path = tiny_model(folded=False), tmp_path_factory.mktemp("hub") / "model.pth"
    known = replace(identity_of(model), config="{}", provenance={"data": "noise"})
    write_checkpoint(path, model.state_dict(), known.to_json())
    return path


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (56, 80, 3), dtype=np.uint8)


def assert_equal(found, expected):
    assert found.segments
    assert found.segments == expected.segments
    assert np.array_equal(found.panoptic, expected.panoptic)


def test_what_is_saved_and_opened_sees_the_same(checkpoint, image, tmp_path):
    predict = Predictor(checkpoint)
    predict.save_pretrained(tmp_path / "a")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        *("README.md", "config.json", "model.safetensors")
    ]
    again = Predictor.from_pretrained(tmp_path / "a", device="cpu")
    again.save_pretrained(tmp_path / "b")
    for other in (again, Predictor(tmp_path / "b"), Predictor(tmp_path / "b/model.safetensors")):
        assert_equal(other(image), predict(image))
    said = json.loads((tmp_path / "b" / "config.json").read_text())
    assert said["provenance"] == {"data": "noise"}
    assert "config" not in said


def test_windows_are_saved_and_can_be_chosen_when_it_is_opened(checkpoint, image, tmp_path):
    tiled = Predictor(checkpoint, tile=40, overlap=0.25)
    tiled.save_pretrained(tmp_path)
    assert Predictor.from_pretrained(tmp_path).inputs == tiled.inputs
    whole = Predictor.from_pretrained(tmp_path, tile=0, batch=2)
    assert (whole.inputs.tile, whole.batch) == (0, 2)


def test_thresholds_can_be_changed_in_the_json(checkpoint, image, tmp_path):
    Predictor(checkpoint).save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    said["description"]["merge"] |= {"thing": 1.0, "stuff": 1.0}
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert Predictor.from_pretrained(tmp_path)(image).segments == []


def test_a_model_in_memory_is_saved_unless_it_was_made_to_predict_only(image, tmp_path):
    model = tiny_model(folded=False)
    Predictor(model).save_pretrained(tmp_path)
    assert_equal(Predictor(tmp_path)(image), Predictor(model.only_predict())(image))
    with pytest.raises(ValueError, match=r"made to predict only, .*Predictor.'model\.pth'"):
        Predictor(model).save_pretrained(tmp_path / "other")
    model = tiny_model(folded=False)
    model.description = None
    with pytest.raises(ValueError, match="has parts of others"):
        Predictor(model).save_pretrained(tmp_path / "other")


def test_the_card_names_classes_and_provenance(checkpoint, tmp_path):
    facts = {"license": "cc0-1.0", "datasets": ["noise"]}
    Predictor(checkpoint).save_pretrained(tmp_path, model_card_kwargs=facts)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "cc0-1.0"
    assert card.data.pipeline_tag == "image-segmentation"
    assert all(name in card.text for name in NAMES)
    assert "- **data**: noise" in card.text


def test_a_name_that_is_neither_folder_nor_model_is_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="gone' is no folder here, and the hub does not"):
        Predictor.from_pretrained(tmp_path / "far" / "gone")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="'me/gone' is no folder here"):
        Predictor.from_pretrained("me/gone", cache_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        Predictor.from_pretrained(tmp_path)


def test_it_is_pushed_and_fetched_by_the_hubs_client(checkpoint, image, tmp_path, monkeypatch):
    class Hub:
        """What the client would send to, and fetch from."""

        def create_repo(self, repo_id, **options):
            self.options = options
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, folder_path, **options):
            Path(folder_path).rename(tmp_path / "remote")
            return "https://commit"

    there = Hub()
    for name in ("create_repo", "upload_folder"):
        call = getattr(there, name)
        monkeypatch.setattr(HfApi, name, lambda self, call=call, **given: call(**given))
    predict = Predictor(checkpoint)
    assert predict.push_to_hub("me/tiny", private=True) == "https://commit"
    assert there.options["private"]
    fetch = lambda repo, name=None, **_: str(tmp_path / "remote" / name)  # noqa: E731
    monkeypatch.setattr(hub, "hf_hub_download", fetch)
    monkeypatch.setattr(
        "huggingface_hub.hub_mixin.hf_hub_download",
        lambda repo_id, filename, **_: fetch(repo_id, filename),
    )
    assert_equal(Predictor.from_pretrained("me/tiny", revision="main")(image), predict(image))
