"""What pays is compiled where it can be, and no checkpoint says so of another machine."""

import pytest

from kmax_deeplab.d2.config.run import load_config
from kmax_deeplab.d2.engine import opening

CONFIG = "configs/coco/panoptic_segmentation/kmax_r50.yaml"


@pytest.mark.parametrize(
    ("device", "missing", "asked", "compiled"),
    [
        ("cuda", None, "auto", "inductor"),
        ("cuda", "a C compiler", "auto", "auto"),
        ("cpu", None, "auto", "auto"),
        ("cuda", None, "", ""),
        ("cpu", None, "aot_eager", "aot_eager"),
    ],
)
def test_a_long_run_is_compiled_where_it_can_be(
    monkeypatch, caplog, device, missing, asked, compiled
):
    built = []

    def record(cfg):
        built.append(cfg.MODEL.KMAX_DEEPLAB.COMPILE)
        raise InterruptedError

    monkeypatch.setattr(opening, "missing_to_compile", lambda: missing)
    monkeypatch.setattr(opening.META_ARCH_REGISTRY, "get", lambda name: record)
    cfg = load_config(CONFIG, ["MODEL.DEVICE", device, "MODEL.KMAX_DEEPLAB.COMPILE", asked])
    for many_images in (True, False):
        with pytest.raises(InterruptedError):
            opening.build(cfg, many_images=many_images)
    assert built == [compiled, asked]
    assert asked == cfg.MODEL.KMAX_DEEPLAB.COMPILE  # what a checkpoint will say
    assert (missing or "") in caplog.text
