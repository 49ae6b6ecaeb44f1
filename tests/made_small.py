"""Commands of the pages, made small: what takes a second enters a test, whatever it took before."""

from tests.stand_ins import COCO_R50, MINE
from tests.tiny_run import TINY

MANY = {"--num-gpus", "--num-machines", "--machine-rank", "--dist-url"}
"""What is said of other GPUs and machines; left out."""
SMALL = [
    *(str(word) for pair in TINY.items() for word in pair),
    *("SOLVER.MAX_ITER", "1", "SOLVER.CHECKPOINT_PERIOD", "9", "CHECKPOINTER.BEST", ""),
    *("SOLVER.OPTIMIZER", "SGD"),  # of which a checkpoint holds little
    *("DATALOADER.NUM_WORKERS", "0", "MODEL.RESNETS.DEPTH", "18"),
    *("MODEL.KMAX_DEEPLAB.USE_AUX_SEMANTIC_DECODER", "False"),
]
"""A network and a training that take a second, most of it to write the checkpoint."""
FEWER = {
    "datasets/generate_shapes.py": ["--train", "2", "--val", "1", "--size", "65"],
    "datasets/prepare_coco.py": ["--workers", "1"],
    "datasets/prepare_cityscapes.py": ["--workers", "1"],
    "datasets/prepare_ade20k.py": ["--workers", "1"],
    "datasets/check.py": ["--workers", "1"],
    "datasets/convert.py": ["--workers", "1"],
    "tools/suggest_config.py": ["--minutes", "0.01"],
    "tools/visualize_data.py": SMALL,
}
"""Words that make other commands than trainings small."""


def fill(word, words):
    """Returns a word, or what stands in for it where the page leaves it to the reader."""
    if word != "…":
        return MINE if word == "[{'name': …}]" else word
    if "kmax_r50.pth" in words:
        return COCO_R50
    if any(word.startswith("timm://convnext") for word in words):
        return COCO_R50.replace("r50", "convnext_tiny")
    return "mine.yaml"


def on_one_process(words):
    """Returns words without those for other processes."""
    befores = [None, *words]
    return [w for before, w in zip(befores, words, strict=False) if not {before, w} & MANY]


def make_small(script, words):
    """Returns words that take a second; a page's own stay but for numbers of images."""
    if script == "train_net.py":
        is_whole = "--eval-only" in words and "kmax_r50.pth" not in words
        return [*([] if is_whole else SMALL), "DATALOADER.NUM_WORKERS", "0", *words]
    if script == "tools/predict.py" and "--config-file" in words:
        return [*words, "--opts", *SMALL]
    if script == "tools/report.py" and "--weights" in words:
        return ["--images", "1", *words]
    if script == "tools/slurm.py":
        return ["--cluster", "local", "--gpus", "1", *words[words.index("--") :], *SMALL]
    return [*words, *FEWER.get(script, [])]


def name_output(words, trainings):
    """Returns words that name the folder of a run, where the page leaves that open.

    Args:
        words: of train_net.py.
        trainings: folders that are taken; a training takes another.
    """
    if {"OUTPUT_DIR", "--eval-only"} & set(words):
        return words
    if not trainings or not {"--resume", "--restart"} & set(words):
        trainings.append(f"output/training_{len(trainings) + 1}")
    return [*words, "OUTPUT_DIR", trainings[-1]]
