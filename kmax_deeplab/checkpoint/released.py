"""Parameter names of the released PyTorch checkpoints and ours.

Ours are theirs without the leading underscore of each component and with one misspelling mended.
"""

MISSPELLED, SPELLED = "predcitor", "predictor"


def from_released(name: str) -> str:
    """Translates a released name; our own names stay as they are.

    >>> from_released("sem_seg_head.predictor._predcitor._transformer_mask_head.conv.weight")
    'sem_seg_head.predictor.predictor.transformer_mask_head.conv.weight'
    """
    parts = (part.removeprefix("_") for part in name.split("."))
    return ".".join(SPELLED if part == MISSPELLED else part for part in parts)
