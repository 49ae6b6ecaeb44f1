"""Panoptic PNGs and prediction folders."""

import numpy as np
import pytest
from panopticapi.utils import id2rgb, rgb2id
from PIL import Image

from kmax_deeplab.data.format.pngs import (
    MAX_ID,
    decode_ids,
    encode_ids,
    read_ids,
    read_predictions,
    write_ids,
    write_predictions_json,
)

IDS = np.array([[0, 1, 255], [256, 70_000, MAX_ID]])


def test_colors_are_those_of_the_official_tool_and_decode_to_the_ids():
    colors = encode_ids(IDS)
    assert colors.dtype == np.uint8
    np.testing.assert_array_equal(colors, id2rgb(IDS))
    np.testing.assert_array_equal(decode_ids(colors), IDS)
    np.testing.assert_array_equal(decode_ids(colors), rgb2id(colors))


@pytest.mark.parametrize("bad", [-1, MAX_ID + 1])
def test_ids_that_do_not_fit_into_a_color_are_refused(bad):
    with pytest.raises(ValueError, match=str(MAX_ID)):
        encode_ids(np.array([[0, bad]]))


def test_files_keep_the_ids_and_other_pictures_are_refused(tmp_path):
    write_ids(tmp_path / "folder" / "ids.png", IDS)
    np.testing.assert_array_equal(read_ids(tmp_path / "folder" / "ids.png"), IDS)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "gray.png")
    with pytest.raises(ValueError, match=r"gray\.png has mode L"):
        read_ids(tmp_path / "gray.png")


def test_a_prediction_folder_reads_back(tmp_path):
    names = ("one/same.png", "two/same.png")
    annotations = [
        {"image_id": number, "file_name": name, "segments_info": [{"id": 1, "category_id": 7}]}
        for number, name in enumerate(names)
    ]
    for number, name in enumerate(names):
        write_ids(tmp_path / "predictions" / name, np.full((2, 3), number))
    write_predictions_json(tmp_path / "predictions.json", annotations, [{"id": 7}])
    found = list(read_predictions(tmp_path / "predictions.json"))
    assert [annotation for annotation, _ in found] == annotations
    assert [int(ids.max()) for _, ids in found] == [0, 1]
