"""The model in the box finds nuclei, also drawn ones, and says where it comes from."""

import numpy as np

from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.metrics.panoptic_quality import LabelledMap, match
from kmax_deeplab.predict.box import BOX
from kmax_deeplab.predict.predictor import Predictor
from tests.scripts import load_script

NUCLEUS, BACKGROUND = 1, 2


def test_it_finds_cells_in_a_drawing():
    image, truth = load_script("datasets/cells_scene.py").draw_cells((160, 200), 30, seed=1)
    seen = Predictor(BOX)(image)
    assert seen.panoptic.shape == (160, 200)
    found = LabelledMap(seen.panoptic, seen.to_coco()["segments_info"])
    background = truth.max() + 1
    listed = [{"id": int(i), "category_id": NUCLEUS} for i in np.unique(truth) if i]
    listed.append({"id": int(background), "category_id": BACKGROUND})
    there = LabelledMap(np.where(truth == 0, background, truth), listed)
    matching = match(found, there, {NUCLEUS, BACKGROUND}, "drawing")
    assert len(matching.pairs) >= 0.9 * len(listed)
    assert len(matching.invented) <= 0.1 * len(listed)
    assert not seen.is_crowded


def test_it_is_small_and_says_what_it_is():
    assert BOX.stat().st_size <= 16e6
    known = read_identity(BOX)
    assert known.categories.names == ("nucleus", "background")
    assert known.description.input.tile == 128
    assert "CC0" in known.provenance["data"]
    assert not {"/work", "/tmp", "/home"} & set(known.config.split("/"))
