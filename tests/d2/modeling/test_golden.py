"""The model against figures measured on the released implementation."""

import json

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.projects.deeplab import add_deeplab_config
from detectron2.structures import Instances
from torch import nn

from kmax_deeplab import add_kmax_deeplab_config
from kmax_deeplab.checkpoint.loading import load_weights
from kmax_deeplab.modeling.initial import Undrawn
from kmax_deeplab.structures import HeadOutput, Prediction
from tests.golden import released

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4  # relative, for every figure


def released_config(name: str, size: list[int], *options: str) -> CfgNode:
    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_kmax_deeplab_config(cfg)
    cfg.merge_from_file(f"configs/{name}")
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "INPUT.IMAGE_SIZE", str(size), *options])
    return cfg


def released_model(case: dict, *options: str) -> nn.Module:
    with Undrawn():
        model = build_model(released_config(case["config"], case["size"], *options))
    state = released.checkpoint(case["config"])
    load_weights(model, state, origin=case["config"], complete=True)
    return model


def relative_error(have, want) -> float:
    have, want = np.asarray(have, np.float64), np.asarray(want, np.float64)
    assert have.shape == want.shape
    return float(np.linalg.norm(have - want) / max(np.linalg.norm(want), 1e-12))


def names(kind: str) -> list:
    return [pytest.param(case, id=case["name"]) for case in released.cases(kind)]


@pytest.mark.parametrize("case", names("forward"))
def test_the_network_computes_the_released_outputs(case):
    model = released_model(case).eval()
    want = np.load(released.FOLDER / f"{case['name']}.npz")
    pixels = np.random.RandomState(7).randint(0, 256, (3, *case["size"])).astype(np.uint8)
    with torch.no_grad():
        features = model.backbone(model.preprocess([torch.from_numpy(pixels)]))
        final = model.sem_seg_head(features).predictions[-1]
    step = 8 if case["size"][0] > 200 else 4
    have = {f"feat_{name}_probe": f[0, :8, :3, :3] for name, f in features.items()}
    have["pred_logits"] = final.class_logits
    have["pred_masks"] = final.mask_logits[:, :, ::step, ::step]
    have["pixel_feature"] = final.pixel_feature[:, ::4, ::step, ::step]
    errors = {name: relative_error(value, want[name]) for name, value in have.items()}
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("case", names("postprocess"))
def test_postprocessing_gives_the_released_results(case, monkeypatch):
    on = ("MODEL.KMAX_DEEPLAB.TEST.SEMANTIC_ON", "True")
    on += ("MODEL.KMAX_DEEPLAB.TEST.INSTANCE_ON", "True")
    cfg = released_config(case["config"], case["size"], *on)
    with Undrawn():
        model = build_model(cfg).eval()
    queries = cfg.MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES
    grid = tuple((side - 1) // case["stride"] + 1 for side in case["size"])
    classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    logits = released.head_outputs(case["seed"], queries, classes, grid)
    masks = logits["pred_masks"]
    out = HeadOutput([Prediction(logits["pred_logits"], masks, masks)])
    monkeypatch.setattr(model.backbone, "forward", lambda _: {})
    monkeypatch.setattr(model.sem_seg_head, "forward", lambda _: out)
    height, width = case["output"]
    image = torch.zeros((3, *case["image"]), dtype=torch.uint8)
    result = model([{"image": image, "height": height, "width": width}])[0]

    want = np.load(released.FOLDER / f"{case['name']}.npz")
    panoptic, segments = result["panoptic_seg"]
    have = [[s["id"], int(s["isthing"]), s["category_id"]] for s in segments]
    assert have == want["segments"].tolist()
    assert (panoptic.numpy() != want["panoptic"]).mean() <= TOLERANCE
    assert relative_error(result["sem_seg"][:, ::37, ::41], want["sem_probe"]) <= TOLERANCE
    instances = result["instances"]
    scores = np.sort(instances.scores.numpy())[::-1]
    assert relative_error(scores, want["inst_scores"]) <= TOLERANCE
    areas = np.sort(instances.pred_masks.flatten(1).sum(1).numpy())
    assert relative_error(areas, np.sort(want["inst_areas"])) <= TOLERANCE


def training_batch(case: dict, num_classes: int) -> list[dict]:
    rng = np.random.RandomState(case["seed"])
    grid = tuple((side - 1) // 4 + 1 for side in case["size"])
    batch = []
    for index in range(2):
        pixels = rng.randint(0, 256, (3, *case["size"])).astype(np.uint8)
        labels = released.voronoi(case["seed"] * 10 + index, grid, 9 + index)
        classes = rng.permutation(num_classes)[: labels.max() + 1]
        present = [i for i in range(len(classes)) if (labels == i).any()]
        instances = Instances(tuple(case["size"]))
        instances.gt_classes = torch.tensor(classes[present])
        instances.gt_masks = torch.from_numpy(np.stack([labels == i for i in present]))
        semantic = np.where(labels >= 0, classes[labels], -1)
        batch.append(
            {
                "image": torch.from_numpy(pixels),
                "instances": instances,
                "sem_seg_gt": torch.from_numpy(semantic),
                "is_real_pixels": torch.ones(*case["size"], dtype=torch.bool),
            }
        )
    return batch


def gradient_norms(model: nn.Module) -> dict[str, float]:
    squares: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        part = "pixel_decoder" if ".pixel_decoder." in name else "predictor"
        part = "backbone" if name.startswith("backbone") else part
        assert parameter.grad is not None, f"{name} gets no gradient"
        squares[part] = squares.get(part, 0.0) + parameter.grad.double().square().sum().item()
    return {part: value**0.5 for part, value in squares.items()}


@pytest.mark.parametrize("case", names("train"))
def test_losses_and_gradients_are_the_released_ones(case):
    pixels = str(((case["size"][0] - 1) // 4 + 1) * ((case["size"][1] - 1) // 4 + 1))
    options = ["MODEL.KMAX_DEEPLAB.TRANS_DEC.DROP_PATH_PROB", "0.0"]
    options += ["MODEL.CONVNEXT.DROP_PATH_RATE", "0.0"]
    options += ["MODEL.KMAX_DEEPLAB.PIXEL_INSDIS_SAMPLE_K", pixels]
    if not case["config"].startswith("cityscapes"):
        options += ["MODEL.KMAX_DEEPLAB.AUX_SEMANTIC_SAMPLE_K", pixels]
    model = released_model(case, *options).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    num_classes = model.sem_seg_head.predictor.predictor.void_bias.numel() - 1
    losses = model(training_batch(case, num_classes))
    sum(losses.values()).backward()

    want = json.loads((released.FOLDER / f"{case['name']}.json").read_text())
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(want["losses"], rel=TOLERANCE)
    assert gradient_norms(model) == pytest.approx(want["grad_norm"], rel=TOLERANCE)
