"""What only runs on a GPU: other kernels, the same values. Skipped where there is none."""

import copy
import itertools
import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from kmax_deeplab.d2.engine.solver import build_optimizer
from kmax_deeplab.d2.engine.step import Step
from kmax_deeplab.losses import LossSettings, compute_losses
from kmax_deeplab.modeling.layers import make_norm
from kmax_deeplab.modeling.tensor_norm import is_worthwhile, normalise
from kmax_deeplab.modeling.transformer_decoder import sum_pixels_of_clusters
from kmax_deeplab.structures import HeadOutput, Prediction
from tests.d2.modeling.test_golden import (
    gradient_norms,
    names,
    relative_error,
    released_config,
    released_model,
    training_batch,
)
from tests.golden import released
from tests.losses.plain import random_output, random_truth
from tests.test_train_net import run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_few_channels_are_normalised_as_on_a_cpu():
    norm = make_norm("BN")(24).train()
    there, x = copy.deepcopy(norm).cuda(), torch.randn(4, 24, 300, 300)
    assert is_worthwhile(x.cuda())
    torch.testing.assert_close(normalise(there, [x.cuda()]).cpu(), norm(x))
    torch.testing.assert_close(there.running_var.cpu(), norm.running_var)


def test_clusters_are_added_up_as_on_a_cpu():
    assignment, values = torch.randint(0, 128, (2, 81, 81)), torch.randn(2, 256, 81, 81)
    found = sum_pixels_of_clusters(assignment.cuda(), values.cuda(), 128).cpu()
    torch.testing.assert_close(
        found, sum_pixels_of_clusters(assignment, values, 128), rtol=1e-4, atol=1e-4
    )


def test_losses_and_gradients_are_those_of_a_cpu():
    torch.manual_seed(0)
    output = random_output([(4, 4), (9, 9)], images=2, semantic=(4, 9, 9))
    targets = [random_truth((9, 9), segments=3).targets() for _ in range(2)]
    moved = HeadOutput(
        [
            Prediction(*(x.detach().cuda().requires_grad_() for x in vars(p).values()))
            for p in output.predictions
        ],
        output.semantic_logits.detach().cuda().requires_grad_(),
    )
    settings = replace(LossSettings(), insdis_samples=10**6, semantic_samples=10**6)
    here = compute_losses(output, targets, settings)
    there = compute_losses(moved, targets, settings)
    assert {k: v.item() for k, v in there.items()} == pytest.approx(
        {k: v.item() for k, v in here.items()}, rel=1e-4
    )
    for losses in (here, there):
        sum(losses.values()).backward()
    for ours, theirs in zip(moved.predictions, output.predictions, strict=True):
        for name in vars(ours):
            gradients = getattr(ours, name).grad.cpu(), getattr(theirs, name).grad
            torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


@pytest.fixture(autouse=True)
def no_tf32():
    """Rounding to 10 bits would hide faults."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


ON_GPU = ("MODEL.DEVICE", "cuda", "MODEL.KMAX_DEEPLAB.CHANNEL_LAST_FORMAT", "True")
PRECISIONS = {
    "float32": (1e-4, ()),
    "compiled": (1e-4, ("MODEL.KMAX_DEEPLAB.COMPILE", "inductor")),
    # Where a mask logit is rounded across another, a pixel changes its cluster, and all that
    # follows; as measured, twice the worst of the cases.
    "float16": (4e-2, ("TEST.AMP.ENABLED", "True")),
    "bfloat16": (2e-1, ("TEST.AMP.ENABLED", "True", "TEST.AMP.DTYPE", "bfloat16")),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", names("forward")[:1])
def test_the_network_computes_the_released_outputs(case, precision, tmp_path):
    tolerance, options = PRECISIONS[precision]
    model = released_model(case, *ON_GPU, *options).only_predict()
    want = np.load(released.FOLDER / f"{case['name']}.npz")
    pixels = np.random.RandomState(7).randint(0, 256, (3, *case["size"])).astype(np.uint8)
    final = model.predict_layers([torch.from_numpy(pixels)])[-1]
    masks = final.mask_logits[:, :, ::4, ::4].float().cpu()
    assert relative_error(final.class_logits.float().cpu(), want["pred_logits"]) <= tolerance
    assert relative_error(masks, want["pred_masks"]) <= tolerance


@pytest.mark.parametrize("case", names("train")[:1])
@pytest.mark.parametrize("compilation", ["", "inductor"])
def test_losses_and_gradients_are_the_released_ones(case, compilation, tmp_path):
    options = ["MODEL.KMAX_DEEPLAB.TRANS_DEC.DROP_PATH_PROB", "0.0"]
    options += ["MODEL.CONVNEXT.DROP_PATH_RATE", "0.0"]
    for name in ("PIXEL_INSDIS", "AUX_SEMANTIC"):
        options += [f"MODEL.KMAX_DEEPLAB.{name}_SAMPLE_K", str(10**6)]
    options += ["MODEL.KMAX_DEEPLAB.COMPILE", compilation]
    model = released_model(case, *ON_GPU, *options).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    classes = model.sem_seg_head.predictor.predictor.void_bias.numel() - 1
    losses = model(training_batch(case, classes))
    sum(losses.values()).backward()
    want = json.loads((released.FOLDER / f"{case['name']}.json").read_text())
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(want["losses"], rel=1e-3)
    assert gradient_norms(model) == pytest.approx(want["grad_norm"], rel=1e-3)


@pytest.mark.parametrize("case", names("postprocess"))
def test_panoptic_maps_are_those_of_a_cpu(case):
    found = []
    for device in ("cpu", "cuda"):
        model = released_model_of(case, device)
        grid = tuple((side - 1) // case["stride"] + 1 for side in case["size"])
        classes, queries = (
            len(model.categories),
            model.sem_seg_head.predictor.cluster_centers.weight.shape[1],
        )
        logits = released.head_outputs(case["seed"], queries, classes, grid)
        (geometry,) = model.geometries([torch.zeros(3, *case["image"])], [case["output"]])
        pair = logits["pred_logits"][0].to(device), logits["pred_masks"][0].to(device)
        found.append(model.postprocess(*pair, geometry).panoptic)
    (here, listed), (there, listed_there) = found
    rounded = [{**segment, "score": pytest.approx(segment["score"])} for segment in listed]
    assert listed_there == rounded
    assert (here != there.cpu()).float().mean() < 1e-5


def released_model_of(case, device):
    from detectron2.modeling import build_model

    return build_model(released_config(case["config"], case["size"], "MODEL.DEVICE", device)).eval()


def test_a_training_step_waits_for_the_matching_and_the_norm_of_its_gradient_alone(tmp_path):
    case = names("train")[0].values[0]
    cfg = released_config(case["config"], case["size"], *ON_GPU)
    model = released_model(case, *ON_GPU).train()
    step = Step(model, build_optimizer(cfg, model), dtype=torch.float16, period=20)
    classes = model.sem_seg_head.predictor.predictor.void_bias.numel() - 1
    step.data_loader = itertools.repeat(training_batch(case, classes))
    step.steps = step.iter = 100  # none whose losses are read
    step.run_step()
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step.run_step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in caught if "synchroniz" in str(warning.message)]
    assert len(waits) == 1, [f"{w.filename}:{w.lineno}" for w in waits]


def test_a_run_is_resumed(shapes, tmp_path):
    changes = {"MODEL.DEVICE": "cuda", "SOLVER.AMP.ENABLED": True, "MODEL.KMAX_DEEPLAB.COMPILE": ""}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run(shapes, whole, **changes)
    resumed.mkdir()
    shutil.copy(whole / "model_0000001.pth", resumed)
    (resumed / "last_checkpoint").write_text("model_0000001.pth")
    run(shapes, resumed, "--resume", **changes)
    first, second = (torch.load(f / "model_final.pth") for f in (whole, resumed))
    assert first["iteration"] == second["iteration"]
    for name, value in first["model"].items():
        torch.testing.assert_close(
            value.float(), second["model"][name].float(), rtol=0.05, atol=0.05
        )


def test_a_deterministic_run_repeats_bit_for_bit(shapes, tmp_path):
    changes = {"MODEL.DEVICE": "cuda", "SOLVER.AMP.ENABLED": True, "MODEL.KMAX_DEEPLAB.COMPILE": ""}
    changes |= {"DETERMINISTIC": True, "SEED": 2}
    try:
        for name in ("one", "two"):
            run(shapes, tmp_path / name, **changes)
    finally:
        torch.use_deterministic_algorithms(False)
    states = [torch.load(tmp_path / name / "model_final.pth")["model"] for name in ("one", "two")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
