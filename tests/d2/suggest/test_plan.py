import numpy as np
import pytest
import yaml

from kmax_deeplab.checkpoint import timm_hub
from kmax_deeplab.d2.config.check import validate
from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.suggest.machine import Machine, find_machine
from kmax_deeplab.d2.suggest.parts import Parts
from kmax_deeplab.d2.suggest.plan import EARNEST, QUERIES, TRIAL, Choice, Plan, plan, schedule
from kmax_deeplab.d2.suggest.sight import choose_sight, upwards
from kmax_deeplab.d2.suggest.writing import write_config, write_value
from kmax_deeplab.data.check.profile import Profile

CPU = Machine(threads=2)
GPU = Machine("H100", 80.0)
PARTS = Parts([], ("some_train",), ("some_val",), "as told")


def profile_of(size, side, count, images=1, is_thing=True):
    """Images with a row of squares each, of one class."""
    boxes = [[i * side % size[1], 0, side, side] for _ in range(images) for i in range(count)]
    return Profile(
        sizes=np.array([size] * images),
        needed=(count if is_thing else 1,) * images,
        names=("cell",),
        is_thing_class=np.array([is_thing]),
        image=np.repeat(np.arange(images), count),
        category=np.zeros(images * count, dtype=int),
        areas=np.full(images * count, float(side**2)),
        boxes=np.array(boxes, dtype=float),
    )


def values(profile, machine, **how):
    return {choice.key: choice.value for choice in plan(profile, machine, **how).choices}


def test_images_of_one_size_fill_an_input_without_a_border_and_no_larger_than_they_are():
    sight = choose_sight(profile_of((48, 72), 20, 3), 193, 257)
    assert (sight.size, sight.tile, sight.small) == ((65, 97), 0, 0)  # the next 32k + 1 from 72
    assert [upwards(side) for side in (20, 33, 34, 72)] == [33, 33, 65, 97]
    large = choose_sight(profile_of((1000, 2000), 400, 3), 193, 257)
    assert (large.size, large.tile) == ((97, 193), 0)


def test_small_things_of_large_images_are_looked_at_in_windows_that_keep_them_whole():
    sight = choose_sight(profile_of((500, 1000), 15, 60), 193, 257)
    # 257 / 1000 of 15 pixels are 4; 24 of them are wanted, in windows of at most 160
    assert (sight.size, sight.tile) == ((257, 257), 160)
    assert sight.scale == 257 / 160 and (sight.small, sight.whole_small) == (0, 1)
    assert sight.needed == 12 and sight.queries == 32  # 160 / 15, and those cut at both ends


def test_where_windows_would_cut_large_things_the_image_is_seen_whole():
    small, large = profile_of((500, 1000), 15, 60), 600
    small.boxes[:10, 2:], small.areas[:10] = large, large**2  # of 60
    sight = choose_sight(small, 193, 257)
    assert (sight.size, sight.tile) == ((129, 257), 0)
    assert sight.small == pytest.approx(5 / 6)


def test_more_segments_than_can_be_found_are_told():
    (choice,) = [c for c in plan(profile_of((200, 200), 10, 300), CPU).choices if c.key == QUERIES]
    assert choice.value == 256 and "images that have more than can be found: 1" in choice.reason


def test_without_a_gpu_a_small_network_is_trained_from_what_is_here():
    scratch = values(profile_of((48, 72), 20, 3, images=200), CPU)
    assert (scratch["MODEL.WEIGHTS"], scratch["SOLVER.BASE_LR"]) == ("", 0.02)
    assert (scratch["INPUT.MIN_SCALE"], scratch["INPUT.MAX_SCALE"]) == (0.8, 1.6)
    assert "INPUT.RANDOM_FLIP" not in scratch and "MODEL.TIMM.NAME" not in scratch
    machine = Machine(weights="timm://tf_efficientnet_lite0")
    found = plan(profile_of((48, 72), 20, 3), machine, has_up=False)
    begun = {choice.key: choice.value for choice in found.choices}
    assert found.base == TRIAL and begun["MODEL.TIMM.NAME"] == "tf_efficientnet_lite0"
    assert (begun["MODEL.BACKBONE.NAME"], begun["SOLVER.BASE_LR"]) == ("D2Timm", 0.01)
    assert begun["INPUT.RANDOM_FLIP"] == "both" and begun["INPUT.MAX_SCALE"] == 2  # one image


def test_with_a_gpu_batch_rate_and_iterations_follow_from_memory_and_images():
    profile = profile_of((480, 640), 30, 3, images=2000)
    found = values(profile, GPU)
    assert found["INPUT.IMAGE_SIZE"] == [289, 385]
    assert (found["SOLVER.IMS_PER_BATCH"], found["SOLVER.BASE_LR"]) == (16, 0.0002)
    assert found["SOLVER.MAX_ITER"] == 60 * 2000 // 16
    large = profile_of((1281, 1281), 8, 3, images=20)
    card = Machine("RTX", 12.0, weights="/w/kmax_r50.pth")
    small = plan(large, card)
    found = {choice.key: choice.value for choice in small.choices}
    # an image takes 4 GiB, and 80% of 12 GiB less one are there
    assert small.base == EARNEST and found["INPUT.IMAGE_SIZE"] == [1281, 1281]
    assert found["SOLVER.IMS_PER_BATCH"] == 2 and found["SOLVER.MAX_ITER"] == 1000
    assert found["MODEL.KMAX_DEEPLAB.REINITIALIZE"] == ["classes"]
    assert QUERIES not in found  # the checkpoint's 128 are enough


@pytest.mark.parametrize("weights", ["", "timm://resnet50.a1_in1k", "/w/kmax_r50.pth"])
@pytest.mark.parametrize("machine", [CPU, GPU])
def test_what_is_proposed_is_a_config_that_can_be(tmp_path, machine, weights):
    profile = profile_of((700, 900), 9, 200, images=3)
    draft = plan(profile, Machine(machine.gpu, machine.memory, weights=weights))
    path = tmp_path / "config.yaml"
    draft = draft.changed(schedule(10, "as told"))
    path.write_text(write_config(draft, PARTS, tmp_path, ["A title", "a line " * 40]))
    cfg = load_config(path)
    validate(cfg)
    for choice in draft.choices:
        node = cfg
        for part in choice.key.split("."):
            node = node[part]
        assert node == choice.value, choice.key
    assert max(map(len, path.read_text().splitlines())) <= 140
    assert cfg.DATASETS.TRAIN == ("some_train",)


def test_every_line_has_its_reason_beside_or_above_it(tmp_path):
    choices = [Choice("A.B", 0.00005, "short"), Choice("A.C", [1, "x"], "long " * 30)]
    entries = [{"name": "n", "images": "/far/i", "json": f"{tmp_path}/p/a.json", "pngs": "/p"}]
    parts = Parts(entries, ("n",), ("n",), "the only part")
    text = write_config(Plan(TRIAL, choices), parts, tmp_path, [])
    assert "  B: 0.00005  # short" in text and "  # long long" in text
    content = yaml.safe_load(text)
    assert content["A"] == {"B": 0.00005, "C": [1, "x"]} and content["_BASE_"] == str(TRIAL)
    (entry,) = content["DATASETS"]["PANOPTIC"]
    assert entry == {"name": "n", "images": "/far/i", "json": "p/a.json", "pngs": "/p"}
    assert yaml.safe_load(write_value(3e-7)) == 3e-7


def test_weights_are_looked_for_in_the_folder_of_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(timm_hub, "try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setenv("KMAX_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert find_machine().weights == "" and "no GPU" in str(find_machine())
    (tmp_path / "tf_efficientnet_lite0.safetensors").touch()
    assert find_machine().weights == "timm://tf_efficientnet_lite0"
