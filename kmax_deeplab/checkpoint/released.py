"""Parameter names of the released PyTorch checkpoints and ours, both ways.

Ours are theirs without the leading underscore of each component and with one misspelling mended.
Below pixel decoder and predictor they have the underscore everywhere but in `PLAIN`.
"""

MISSPELLED, SPELLED = "predcitor", "predictor"
DECODERS = ("sem_seg_head.pixel_decoder.", "sem_seg_head.predictor.")
PLAIN = {
    *("conv", "norm", "qkv_transform", "conv_block_0", "conv_block_1", "final_conv"),
    *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
}
"""Components that have no leading underscore in the released names, besides numbers."""


def from_released(name: str) -> str:
    """Translates a released name; our own names and those of backbones stay as they are.

    >>> from_released("sem_seg_head.predictor._predcitor._transformer_mask_head.conv.weight")
    'sem_seg_head.predictor.predictor.transformer_mask_head.conv.weight'
    """
    if name.startswith("backbone."):
        return name
    parts = (part.removeprefix("_") for part in name.split("."))
    return ".".join(SPELLED if part == MISSPELLED else part for part in parts)


def to_released(name: str) -> str:
    """Translates one of our names to the released one, and leaves released ones as they are.

    >>> to_released("sem_seg_head.predictor.predictor.transformer_mask_head.conv.weight")
    'sem_seg_head.predictor._predcitor._transformer_mask_head.conv.weight'
    """
    for decoder in DECODERS:
        if name.startswith(decoder):
            parts = name.removeprefix(decoder).split(".")
            return decoder + ".".join(_to_released_part(part) for part in parts)
    return name


def _to_released_part(part: str) -> str:
    if part in PLAIN or part.isdigit() or part.startswith("_"):
        return part
    return "_" + (MISSPELLED if part == SPELLED else part)
