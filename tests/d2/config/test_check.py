"""Values that cannot work are refused by key; words without effect are told."""

import pytest

from kmax_deeplab.d2.config.check import (
    RANGES,
    flatten_values,
    suggest,
    tell_surprises,
    validate,
    validate_evaluation,
    validate_training,
)
from kmax_deeplab.d2.config.run import load_config
from tests.d2.config.test_keys import ROOT, config

SHAPES = str(ROOT / "configs" / "shapes" / "kmax_convnext_demo.yaml")
CITYSCAPES = str(ROOT / "configs/cityscapes/panoptic_segmentation/kmax_r50.yaml")


LEAVES = sorted(p for p in (ROOT / "configs").rglob("*.yaml") if "_base_" not in p.parts)


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_our_own_configs_pass_and_hold_no_surprise(path):
    cfg = load_config(str(path))
    validate(cfg)
    assert list(tell_surprises(cfg, [])) == []


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("INPUT.SCALE_OF", "inches", r"use one of \['fit', 'pixels'\]"),
        ("INPUT.TILE_OVERLAP_TEST", "0.95", "from 0 to 0.9"),
        ("INPUT.COPY_PASTE", "1.5", "from 0 to 1"),
        (
            "INPUT.RANDOM_FLIP",
            "sideways",
            r"use one of \['horizontal', 'vertical', 'both', 'none'\]",
        ),
        ("INPUT.FORMAT", "BGR", "RGB"),
        ("SOLVER.OPTIMIZER", "ADAM", "ADAMW"),
        ("SOLVER.LR_SCHEDULER_NAME", "Poly", "TF2WarmupPolyLR"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "all", "full_model"),
        ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "TrainingSampler"),
        ("MODEL.DEVICE", "gpu", "cuda"),
        ("MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES", "0", "must be 1 or more"),
        ("MODEL.KMAX_DEEPLAB.TEST.OVERLAP_THRESHOLD", "80.0", "must be from 0 to 1"),
        ("MODEL.KMAX_DEEPLAB.TEST.CLASS_THRESHOLD_THING", "-0.1", "must be from 0 to 1"),
        ("SOLVER.BASE_LR", "-0.1", "must be 0 or more"),
        ("INPUT.MIN_SCALE", "3.0", "no less than the first"),
        ("MODEL.PIXEL_STD", "[1.0, 1.0, 0.0]", "above 0"),
        ("TEST.EVAL_PERIOD", "-5", "must be 0 or more"),
        ("DATALOADER.NUM_WORKERS", "-1", "must be 0 or more"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_what_can(key, value, complaint):
    with pytest.raises(ValueError, match=rf"{key} .*{complaint}|{complaint}") as refusal:
        validate(load_config(SHAPES, [key, value]))
    assert key in str(refusal.value)


def test_keys_with_a_range_exist():
    known = flatten_values(config())
    assert {key for keys in RANGES.values() for key in keys} <= known.keys()


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("SOLVER.MAX_ITER", "0", "SOLVER.MAX_ITER is 0: it must be 1 or more"),
        ("SOLVER.CHECKPOINT_PERIOD", "0", "SOLVER.CHECKPOINT_PERIOD is 0"),
        ("SOLVER.IMS_PER_BATCH", "7", "must be a multiple of the number of processes, 2"),
        ("DATASETS.TRAIN", "()", "DATASETS.TRAIN is empty"),
        ("MODEL.KMAX_DEEPLAB.TEST.PANOPTIC_ON", "False", "nothing to evaluate: turn on one of"),
    ],
)
def test_a_training_that_cannot_end_well_is_refused_at_the_start(key, value, complaint):
    with pytest.raises(ValueError, match=complaint):
        validate_training(load_config(SHAPES, [key, value]), num_processes=2)


def test_an_evaluation_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"DATASETS\.TEST is empty"):
        validate_evaluation(load_config(SHAPES, ["DATASETS.TEST", "()"]))


def test_words_without_effect_are_told():
    words = ["INPUT.CROP.ENABLED", "SOLVER.STEPS", "SOLVER.MAX_ITER", "MODEL.ROI_HEADS.NUM_CLASSES"]
    told = list(tell_surprises(load_config(SHAPES), words))
    assert [sentence.split()[0] for sentence in told if "no effect" in sentence] == [
        "INPUT.CROP.ENABLED",
        "SOLVER.STEPS",
        "MODEL.ROI_HEADS.NUM_CLASSES",
    ]


def test_sections_of_other_backbones_have_no_effect():
    words = ["MODEL.RESNETS.DEPTH", "MODEL.CONVNEXT.DIMS"]
    (sentence,) = tell_surprises(load_config(SHAPES), words)
    assert sentence == "MODEL.RESNETS.DEPTH has no effect: MODEL.BACKBONE.NAME is D2ConvNeXt."


@pytest.mark.parametrize(("norm", "batch", "refused"), [("BN", 2, True), ("SyncBN", 2, False)])
def test_a_batch_of_one_value_after_pooling_is_refused_before_the_first_iteration(
    norm, batch, refused
):
    words = ["MODEL.KMAX_DEEPLAB.NORM", norm, "SOLVER.IMS_PER_BATCH", str(batch)]
    cfg = load_config(SHAPES, [*words, "MODEL.KMAX_DEEPLAB.USE_AUX_SEMANTIC_DECODER", "True"])
    if not refused:
        validate_training(cfg, num_processes=2)
        return
    with pytest.raises(ValueError, match=r"batch norm would see one image"):
        validate_training(cfg, num_processes=2)


def test_test_sizes_that_exceed_the_image_size_are_told():
    cfg = load_config(CITYSCAPES, ["INPUT.IMAGE_SIZE", "[513, 1025]"])
    (sentence,) = tell_surprises(cfg, [])
    assert "INPUT.MIN_SIZE_TEST 513 INPUT.MAX_SIZE_TEST 1025" in sentence


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["INPUT.IMAGE_SIZE", "129", "257"], r'INPUT\.IMAGE_SIZE "\[129, 257\]"'),
        (["MODEL.KMAX_DEEPLAB.NUM_OBJECT_QUERIES", "9"], r"perhaps .*TRANS_DEC\.NUM_OBJECT_QUE"),
        (["SOLVER.BASELR", "1"], r"no key 'SOLVER\.BASELR'; meant is perhaps SOLVER\.BASE_LR"),
        (["solver.max_iter", "1"], r"perhaps SOLVER\.MAX_ITER"),
        (["MAX_ITER", "1"], r"perhaps SOLVER\.MAX_ITER"),
        (["SOLVER", "1"], "it is a section"),
        (["SOLVER.MAX_ITER"], "SOLVER.MAX_ITER lacks a value"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER many: .*SOLVER.MAX_ITER"),
    ],
)
def test_words_that_are_no_setting_get_the_one_that_is_meant(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_config(SHAPES, words)


def test_an_unknown_key_of_a_file_is_named_with_the_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("SOLVER: {BASE_LEARNING_RATE: 1}")
    with pytest.raises(ValueError, match=rf"{path}: the config has no key 'SOLVER\.BASE_LEARNING"):
        load_config(str(path))


def test_a_key_like_no_other_gets_no_suggestion():
    assert suggest("XYZZY.QQQ", config()) == ""
