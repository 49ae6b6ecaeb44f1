"""The command line of a tiny training, which tests of whole runs share."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = str(ROOT / "configs" / "shapes" / "kmax_convnext_demo.yaml")

TINY = {
    "MODEL.DEVICE": "cpu",
    "MODEL.CONVNEXT.DEPTHS": [1, 1, 1, 1],
    "MODEL.CONVNEXT.DIMS": [8, 16, 32, 64],
    "MODEL.CONVNEXT.DROP_PATH_RATE": 0.2,
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_LAYERS": [1, 1, 1, 1],
    "MODEL.KMAX_DEEPLAB.PIXEL_DEC.DEC_CHANNELS": [16, 16, 16, 16],
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.DEC_LAYERS": [0, 0, 1],
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.IN_CHANNELS": [64, 64, 64, 64],
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.NUM_OBJECT_QUERIES": 12,
    "MODEL.KMAX_DEEPLAB.TRANS_DEC.DROP_PATH_PROB": 0.2,
    "MODEL.KMAX_DEEPLAB.PIXEL_INSDIS_SAMPLE_K": 64,
    "MODEL.KMAX_DEEPLAB.AUX_SEMANTIC_SAMPLE_K": 64,
    "INPUT.IMAGE_SIZE": [65, 65],
    "INPUT.MIN_SIZE_TEST": 65,
    "INPUT.MAX_SIZE_TEST": 65,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.WARMUP_ITERS": 1,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "SEED": -1,
    "TEST.SHOWN_IMAGES": 0,
}


def command(data: Path, output: Path, *flags: str, **changes: object) -> list[str]:
    """Returns a command line for the tiny model on a "shapes" folder."""
    datasets = [
        {
            "name": f"shapes_{split}",
            "images": str(data / split / "images"),
            "json": str(data / split / "panoptic.json"),
            "pngs": str(data / split / "panoptic"),
        }
        for split in ("train", "val")
    ]
    places = {"DATASETS.PANOPTIC": datasets, "OUTPUT_DIR": output}
    options = [str(x) for pair in {**TINY, **places, **changes}.items() for x in pair]
    return ["--config-file", CONFIG, *flags, *options]
