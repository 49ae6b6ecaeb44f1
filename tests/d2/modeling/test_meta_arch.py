"""The meta-architecture between Detectron2's dicts and the core."""

import pytest
import torch
from detectron2.structures import Instances

from kmax_deeplab.d2.data.catalog import register_panoptic
from kmax_deeplab.d2.engine.opening import build
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.modeling import layers
from kmax_deeplab.modeling.recomputation import set_recompute
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.structures import HeadOutput, Prediction, Targets
from tests.d2.config.test_keys import config
from tests.own_data import CATEGORIES, OwnData

TINY = {
    "MODEL.DEVICE": "cpu",
    "INPUT.IMAGE_SIZE": "[65,65]",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": "4",
    "MODEL.CONVNEXT.DEPTHS": "[1,1,1,1]",
    "MODEL.CONVNEXT.DIMS": "[8,8,8,8]",
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS": "[1,1,1,1]",
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_CHANNELS": "[8,8,8,8]",
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.IN_CHANNELS": "[32,32,32,32]",
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.DEC_LAYERS": "[1,1,1]",
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES": "6",
    "MODEL.KMAX_DEEPLAB.PIXEL_INSDIS_SAMPLE_K": "64",
    "MODEL.KMAX_DEEPLAB.AUX_SEMANTIC_SAMPLE_K": "64",
    "DATASETS.TRAIN": "()",
    "DATASETS.TEST": "()",
}


CLASSES = Categories.from_json(
    [{"id": 5 + i, "name": f"class {i}", "isthing": i % 2 == 0} for i in range(4)]
)


def tiny_config(*options: str):
    settings = [part for pair in TINY.items() for part in pair]
    return config(*settings, *options, file="shapes/kmax_convnext_demo.yaml")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(tiny_config(), CLASSES)


def sample(*, segments: int = 3) -> dict:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (3, 65, 65), dtype=torch.uint8, generator=generator)
    segment_map = torch.arange(17)[:, None].expand(17, 17) * segments // 17
    classes = torch.arange(segments) % 4
    semantic = classes[segment_map] if segments else torch.full((17, 17), -1)
    empty = torch.full((1, 17, 17), -1)
    targets = Targets(segment_map[None] if segments else empty, classes, semantic)
    real = torch.ones(65, 65, dtype=torch.bool)
    return {"image": image, "is_real_pixels": real, "targets": targets}


def test_every_parameter_gets_a_finite_gradient(model):
    losses = model.train()([sample(), sample()])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_evaluation_looks_at_windows_as_prediction_does():
    torch.manual_seed(0)
    test = "MODEL.KMAX_DEEPLAB.TEST."
    keys = ("CLASS_THRESHOLD_THING", "CLASS_THRESHOLD_STUFF", "PIXEL_CONFIDENCE_THRESHOLD")
    loose = [word for key in keys for word in (test + key, "0.0")]
    views = [f"{test}SEMANTIC_ON", "True", f"{test}INSTANCE_ON", "True", "INPUT.TILE_TEST", "60"]
    sizes = ["INPUT.MIN_SIZE_TEST", "65", "INPUT.MAX_SIZE_TEST", "65"]
    model = build(tiny_config(*loose, *views, *sizes), CLASSES).eval()
    image = torch.randint(0, 256, (3, 70, 90), dtype=torch.uint8)
    with torch.no_grad():
        (result,) = model([{"image": image, "height": 70, "width": 90}])
    ids, segments = result["panoptic_seg"]
    seen = Predictor(model)(image)
    assert torch.equal(ids, torch.from_numpy(seen.panoptic))
    assert [s["id"] for s in segments] == [s.id for s in seen.segments]
    assert len(result["instances"]) == sum(s.isthing for s in seen.segments)
    assert result["sem_seg"].shape == (4, 70, 90)
    assert torch.equal(result["sem_seg"].argmax(0).int(), torch.from_numpy(seen.semantic))


def test_images_without_any_label_train(model):
    losses = model.train()([sample(segments=0), sample(segments=0)])
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_mask"] == losses["loss_aux_semantic"] == 0


def test_the_released_input_convention_gives_the_same_losses(model):
    model.train()
    batch = [sample(), sample()]
    released = []
    for x in batch:
        instances = Instances((65, 65), gt_classes=x["targets"].classes)
        instances.gt_masks = torch.stack([x["targets"].segment_map[0] == i for i in range(3)])
        rest = {"image": x["image"], "is_real_pixels": x["is_real_pixels"]}
        released.append({**rest, "instances": instances, "sem_seg_gt": x["targets"].semantic})
    losses = []
    for given in (batch, released):
        torch.manual_seed(3)
        losses.append({name: value.item() for name, value in model(given).items()})
    assert losses[0] == pytest.approx(losses[1])


def test_pixels_that_are_not_real_become_zero(model):
    x = sample()
    x["is_real_pixels"] = torch.zeros(65, 65, dtype=torch.bool)
    assert not model.preprocess([x["image"]], [x["is_real_pixels"]]).any()


def test_images_are_padded_right_and_bottom_and_larger_ones_to_the_next_size_of_their_kind(model):
    small = {"image": torch.full((3, 50, 40), 255, dtype=torch.uint8)}
    padded = model.preprocess([small["image"]])
    assert padded.shape == (1, 3, 65, 65)
    assert (padded[..., :50, :40] == 1).all()
    assert padded.sum() == 3 * 50 * 40
    large = {"image": torch.zeros((3, 66, 40), dtype=torch.uint8)}
    assert model.preprocess([small["image"], large["image"]]).shape == (2, 3, 97, 65)


def test_results_have_the_size_that_was_asked_for():
    model = build(tiny_config("MODEL.KMAX_DEEPLAB.SAVE_VIS_NUM", "1"), CLASSES).eval()
    image = torch.zeros((3, 65, 49), dtype=torch.uint8)
    with torch.no_grad():
        result = model([{"image": image, "height": 130, "width": 98}, {"image": image}])
    assert [r["panoptic_seg"][0].shape for r in result] == [(130, 98), (65, 49)]
    assert result[0]["original_image"].shape == (130, 98, 3)
    model.shows_inputs = False
    with torch.no_grad():
        assert "original_image" not in model([{"image": image}])[0]


@pytest.mark.slow
@pytest.mark.parametrize("canvas", [(65, 97), (64, 96), (129, 65)])
@pytest.mark.parametrize("size", [(65, 65), (33, 33), (20, 60), (61, 31), (64, 64)])
@pytest.mark.parametrize("ratio", [0.5, 1, 3.7])
def test_an_image_is_found_wherever_it_ends_in_the_canvas(canvas, size, ratio):
    """Query 0 takes the image's left half, query 1 its right half, query 2 all of the padding."""
    height, width = size
    canvas = [max(a, -(-b // 32) * 32 + a % 32) for a, b in zip(canvas, size, strict=True)]
    where = torch.full(canvas, 2)
    where[:height, : width // 2], where[:height, width // 2 : width] = 0, 1
    model = build(tiny_config("INPUT.IMAGE_SIZE", str(list(canvas))), CLASSES).eval()
    masks = 20.0 * torch.nn.functional.one_hot(where, 6).permute(2, 0, 1)[None]
    logits = 20.0 * torch.eye(6, 5)[None]  # query n shows class n
    model.sem_seg_head.forward = lambda features: HeadOutput([Prediction(logits, masks, masks)])
    output = (round(height * ratio), round(width * ratio))
    asked = {"image": torch.zeros(3, *size, dtype=torch.uint8)}
    ids, segments = model([{**asked, "height": output[0], "width": output[1]}])[0]["panoptic_seg"]
    found = {s["category_id"]: ids == s["id"] for s in segments}
    border = int(2 * ratio) + 1  # of two resizes
    middle, columns = (width // 2) * ratio, torch.arange(output[1])
    assert found[0][: output[0] - border, columns < middle - border].all()
    assert found[1][: output[0] - border, columns > middle + border][:, :-border].all()
    assert not found[0][:, columns > middle + border].any()
    assert 2 not in found or found[2][:-border, :-border].sum() == 0


def test_the_layers_of_k_means_are_handed_out_for_pictures(model):
    with torch.no_grad():
        predictions = model.eval().predict_layers([sample()["image"]])
    assert [tuple(p.mask_logits.shape[1:]) for p in predictions] == [
        (6, 3, 3),
        (6, 5, 5),
        (6, 9, 9),
        (6, 17, 17),
    ]


def test_a_dataset_with_another_number_of_classes_than_the_model_is_named():
    options = ("DATASETS.TEST", '("coco_2017_val_panoptic",)')
    counts = r"NUM_CLASSES is 4, but the datasets have \{'coco_2017_val_panoptic': 133\}"
    with pytest.raises(ValueError, match=counts):
        build(tiny_config(*options))


def test_datasets_that_nobody_registered_are_named():
    options = ("DATASETS.TRAIN", "('nowhere',)", "DATASETS.TEST", "()")
    with pytest.raises(ValueError, match=r"\['nowhere'\].*DATASETS.PANOPTIC"):
        build(tiny_config(*options))


def test_a_registered_dataset_that_nobody_has_read_yet_is_asked_for_its_classes(tmp_path):
    data = OwnData(tmp_path / "mine")
    listed = [{"id": i, "name": f"own {i}", "isthing": i % 2} for i in range(301, 320)]
    data.content["categories"] = [*CATEGORIES, *listed[: 19 - len(CATEGORIES)]]
    data.write_json()
    register_panoptic(**data.entry(tmp_path.name))
    words = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "19", "DATASETS.TRAIN", f"('{tmp_path.name}',)")
    assert build(tiny_config(*words)).categories.names[:2] == ("ground", "cell")


def test_without_a_dataset_as_many_classes_as_a_benchmark_has_are_its_classes():
    model = build(tiny_config("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "19"))
    assert model.categories.names[:2] == ("road", "sidewalk")


@pytest.mark.parametrize(
    "key, value",
    [
        ("MODEL.BACKBONE.NAME", "D2Unknown"),
        ("MODEL.KMAX_DEEPLAB.NORM", "GN"),
        ("MODEL.KMAX_DEEPLAB.PIXEL_DEC.LAYER_TYPES", "['axial','axial','conv','conv']"),
        ("MODEL.KMAX_DEEPLAB.TRANS_DEC.NAME", "OtherDecoder"),
    ],
)
def test_an_unknown_part_is_refused_by_name(key, value):
    unknown = value.strip("[]").split(",")[-1].strip("'")
    with pytest.raises((KeyError, ValueError), match=unknown):
        build(tiny_config(key, value), CLASSES)


def test_an_answer_that_is_not_a_number_is_refused_by_the_name_of_the_image(model):
    with torch.no_grad():
        next(model.sem_seg_head.parameters()).fill_(float("nan"))
    inputs = {"image": sample()["image"], "file_name": "cells/7.png"}
    with torch.no_grad(), pytest.raises(ValueError, match=r"cells/7\.png holds NaN"):
        model.eval()([inputs])


@torch.no_grad()
def test_the_network_predicts_in_half_precision_where_it_is_asked_to(model):
    half = ("TEST.AMP.ENABLED", "True", "TEST.AMP.DTYPE", "bfloat16")
    other = build(tiny_config(*half), CLASSES)
    other.load_state_dict(model.state_dict())
    found = [m.eval().predict_layers([sample()["image"]])[-1] for m in (model, other)]
    assert [p.pixel_feature.dtype for p in found] == [torch.float32, torch.bfloat16]
    assert not torch.equal(found[0].class_logits, found[1].class_logits)
    torch.testing.assert_close(*(p.class_logits.float() for p in found), rtol=0.1, atol=0.1)
    again = other.only_predict().predict_layers([sample()["image"]])[-1].class_logits
    torch.testing.assert_close(again, found[1].class_logits, rtol=0.1, atol=0.1)
    assert other.backbone.downsample_layers[0][0].weight.dtype == torch.bfloat16


@torch.no_grad()
def test_only_images_of_the_configured_size_are_compiled(model):
    compiled = build(tiny_config("MODEL.KMAX_DEEPLAB.COMPILE", "aot_eager"), CLASSES).eval()
    compiled.load_state_dict(model.state_dict())
    before = torch._dynamo.utils.counters["frames"]["total"]
    large = torch.randint(256, (3, 161, 129), dtype=torch.uint8)
    found = [m.eval().predict_layers([large])[-1].mask_logits for m in (model, compiled)]
    torch.testing.assert_close(*found)
    assert torch._dynamo.utils.counters["frames"]["total"] == before


@pytest.mark.slow
def test_compiled_parts_keep_their_names_and_compute_the_same(monkeypatch):
    """One brick of each kind, as every further one takes as long; all but one recompute."""
    bricks = ("MODEL.CONVNEXT.DEPTHS", "[1,0,0,0]")
    bricks += ("MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS", "[1,0,0,1]")
    bricks += ("MODEL.KMAX_DEEPLAB.TRANS_DEC.DEC_LAYERS", "[0,0,1]")
    how = ("MODEL.KMAX_DEEPLAB.COMPILE", "aot_eager")
    how += ("MODEL.KMAX_DEEPLAB.RECOMPUTE_ACTIVATIONS", "True")
    torch.manual_seed(0)
    model, compiled = (build(tiny_config(*bricks, *words), CLASSES) for words in ((), how))
    set_recompute(compiled.sem_seg_head.pixel_decoder, False)
    # norms of few channels in the form that GPUs take, all others in PyTorch's
    monkeypatch.setattr(layers, "is_worthwhile", lambda x: x.shape[1] <= 32)
    assert compiled.state_dict().keys() == model.state_dict().keys()
    compiled.load_state_dict(model.state_dict())
    losses, gradients = [], []
    for network in (model.train(), compiled.train()):
        torch.manual_seed(1)
        losses.append(network([sample(), sample()]))
        sum(losses[-1].values()).backward()
        gradients.append({n: p.grad for n, p in network.named_parameters()})
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)
