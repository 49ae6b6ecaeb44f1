"""The model in the box finds nuclei, also drawn ones, and says where it comes from."""

import numpy as np
import pytest
from panopticapi.evaluation import PQStat

from kmax_deeplab.checkpoint.identity import read_identity
from kmax_deeplab.metrics.panoptic_quality import LabelledMap, compare, match, summarise
from kmax_deeplab.predict.box import BOX
from kmax_deeplab.predict.predictor import Predictor
from tests.scripts import load_script

pytestmark = pytest.mark.usefixtures("one_thread")

NUCLEUS, BACKGROUND = CLASSES = 1, 2


def drawing(size, count, seed):
    """Returns (H, W, 3) drawn cells, and what there is to be found in them."""
    image, truth = load_script("datasets/cells_scene.py").draw_cells(size, count, seed)
    background = truth.max() + 1
    listed = [{"id": int(i), "category_id": NUCLEUS} for i in np.unique(truth) if i]
    listed.append({"id": int(background), "category_id": BACKGROUND})
    return image, LabelledMap(np.where(truth == 0, background, truth), listed)


def as_labelled(seen):
    return LabelledMap(seen.panoptic, seen.to_coco()["segments_info"])


def test_it_finds_cells_in_a_drawing():
    image, there = drawing((160, 200), 30, seed=1)
    seen = Predictor(BOX)(image)
    assert seen.panoptic.shape == (160, 200)
    matching = match(as_labelled(seen), there, set(CLASSES), "drawing")
    assert len(matching.pairs) >= 0.9 * len(there.segments_info)
    assert len(matching.invented) <= 0.1 * len(there.segments_info)
    assert not seen.is_crowded


@pytest.mark.slow
def test_windows_find_what_one_look_finds_where_an_image_fits_both_ways():
    figures = []
    for tile in (0, 96):  # of 128 pixels: one look, or four whose overlaps hold most cells
        predict, statistics = Predictor(BOX, tile=tile), PQStat()
        for seed in range(3):
            image, there = drawing((128, 128), 20, seed)
            seen = predict(image)
            assert seen.is_joined == (tile > 0)
            compare(as_labelled(seen), there, set(CLASSES), "drawing").add_to(statistics)
        listed = [{"id": label, "isthing": label == NUCLEUS} for label in CLASSES]
        figures.append(100 * summarise(statistics, listed)["things"].pq)
    assert figures[0] > 90
    assert figures[1] == pytest.approx(figures[0], abs=1)


def test_it_is_small_and_says_what_it_is():
    assert BOX.stat().st_size <= 16e6
    known = read_identity(BOX)
    assert known.categories.names == ("nucleus", "background")
    assert known.description.input.tile == 128
    assert "CC0" in known.provenance["data"]
    assert not {"/work", "/tmp", "/home"} & set(known.config.split("/"))
