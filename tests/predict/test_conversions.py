"""What is seen in an image, in the forms of other libraries."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.predict import conversions
from kmax_deeplab.predict.prediction import PredictedImage, describe
from tests.own_data import CATEGORIES

IDS = np.array([[0, 1, 1, 2], [3, 3, 1, 2], [3, 3, 0, 2]], np.int32)
FOUND = [
    {"id": 1, "category_id": 1, "isthing": True, "query": 4, "score": 0.87654321},
    {"id": 2, "category_id": 0, "isthing": False, "query": 2, "score": 0.75},
    {"id": 3, "category_id": 1, "isthing": True, "query": 0, "score": 0.5},
]


def seen(ids=IDS, found=FOUND):
    categories = Categories.from_json(CATEGORIES)
    image = np.zeros((*ids.shape, 3), np.uint8)
    segments = describe(ids, found, categories)
    return PredictedImage("0", image, ids, segments, categories, len(found), 8)


def test_the_dict_of_transformers_names_classes_and_what_was_fused():
    given = conversions.to_transformers(seen())
    assert given["segmentation"].tolist() == IDS.tolist()
    assert given["segments_info"] == [
        {"id": 1, "label_id": 1, "was_fused": False, "score": 0.876543},
        {"id": 2, "label_id": 0, "was_fused": True, "score": 0.75},
        {"id": 3, "label_id": 1, "was_fused": False, "score": 0.5},
    ]


def test_it_is_the_dict_of_transformers_own_function():
    """Two queries are segments; where a third one is refused, both say void."""
    transformers = pytest.importorskip("transformers")
    masks = torch.full((1, 3, 4, 4), -20.0)
    masks[0, 0, :, :2], masks[0, 1, :, 2], masks[0, 2] = 20.0, 20.0, 1.0
    classes = torch.tensor([[[-9.0, 9, -9, -9], [9, -9, -9, -9], [-9, -9, 1, -9]]])
    outputs = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    theirs = transformers.MaskFormerImageProcessor().post_process_panoptic_segmentation
    options = {"label_ids_to_fuse": {0}, "target_sizes": [(4, 4)]}
    (expected,) = theirs(outputs, **options)
    ids = expected["segmentation"].numpy()
    assert set(np.unique(ids)) == {0, 1, 2}
    scores = classes.softmax(-1).amax(-1)[0].tolist()
    found = [{**s, "score": p} for s, p in zip(FOUND[:2], scores[:2], strict=True)]
    given = conversions.to_transformers(seen(ids, found))
    assert given["segments_info"] == expected["segments_info"]
    assert given["segmentation"].dtype == expected["segmentation"].dtype
    assert torch.equal(given["segmentation"], expected["segmentation"])
    outputs.class_queries_logits = torch.tensor([[[-9.0, -9, -9, 9]] * 3])
    (expected,) = theirs(outputs, **options)
    given = conversions.to_transformers(seen(np.zeros((4, 4), np.int32), []))
    assert torch.equal(given["segmentation"], expected["segmentation"].int())
    assert given["segments_info"] == expected["segments_info"] == []


def test_supervision_gets_masks_boxes_scores_and_names():
    supervision = pytest.importorskip("supervision")
    given = conversions.to_supervision(seen())
    assert np.array_equal(given.mask, [IDS == 1, IDS == 2, IDS == 3])
    assert given.area.tolist() == [3, 3, 4]
    assert given.xyxy.tolist() == [[1, 0, 3, 2], [3, 0, 4, 3], [0, 1, 2, 3]]
    assert given.confidence.tolist() == pytest.approx([0.876543, 0.75, 0.5])
    assert given.class_id.tolist() == [1, 0, 1]
    things = given[given.data["isthing"]]
    assert things["class_name"].tolist() == ["cell", "cell"]
    assert things["segment_id"].tolist() == [1, 3]
    theirs = supervision.Detections.from_transformers(conversions.to_transformers(seen()))
    assert np.array_equal(theirs.mask, given.mask)
    annotated = supervision.MaskAnnotator().annotate(np.zeros((3, 4, 3), np.uint8), given)
    assert annotated[0, 1].any()
    assert not annotated[0, 0].any()


def test_supervision_gets_nothing_where_nothing_is_seen():
    pytest.importorskip("supervision")
    given = conversions.to_supervision(seen(np.zeros((3, 4), np.int32), []))
    assert len(given) == 0
    assert given.mask.shape == (0, 3, 4)
    assert given[given.data["isthing"]].class_id.tolist() == []


def test_fiftyone_gets_things_in_relative_boxes_and_a_class_at_every_pixel():
    fiftyone = pytest.importorskip("fiftyone")
    given = conversions.to_fiftyone_detections(seen())
    assert isinstance(given, fiftyone.Detections)
    cell = given.detections[0]
    assert (cell.label, cell.confidence, cell.index) == ("cell", 0.87654321, 1)
    assert cell.bounding_box == [1 / 4, 0, 2 / 4, 2 / 3]
    assert cell.mask.tolist() == [[True, True], [False, True]]
    targets = conversions.fiftyone_mask_targets(seen().categories)
    segmentation = conversions.to_fiftyone_segmentation(seen())
    assert isinstance(segmentation, fiftyone.Segmentation)
    assert (segmentation.mask == np.array([0, 2, 1, 2], np.uint8)[IDS]).all()
    assert targets == {1: "ground", 2: "cell", 3: "vessel"}
    sample = fiftyone.Sample(filepath="photo.jpg", things=given, classes=segmentation)
    assert np.array_equal(sample.classes.mask, segmentation.mask)
    on_whole = cell.to_segmentation(frame_size=(4, 3), target=1).mask
    assert np.array_equal(on_whole == 1, IDS == 1)


def test_fiftyone_gets_nothing_where_nothing_is_seen():
    pytest.importorskip("fiftyone")
    nothing = seen(np.zeros((3, 4), np.int32), [])
    assert conversions.to_fiftyone_detections(nothing).detections == []
    assert not conversions.to_fiftyone_segmentation(nothing).mask.any()


@pytest.mark.parametrize(
    ("library", "convert"),
    [
        ("supervision", conversions.to_supervision),
        ("fiftyone", conversions.to_fiftyone_detections),
        ("fiftyone", conversions.to_fiftyone_segmentation),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_way_to_get_it(library, convert, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{library}.*pip install {library} .*extra"):
        convert(seen())
