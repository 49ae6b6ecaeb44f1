"""The part of the contract that needs no torch: what files of exported models are used with too."""

from dataclasses import dataclass

VOID = -1
"""Value of a pixel without a segment in segment maps and without a class in semantic maps."""


@dataclass(frozen=True)
class MergeThresholds:
    """When a query becomes a segment (section "Panoptic merge"); all are probabilities or powers.

    Attributes:
        thing: least class score of an accepted thing, exclusive.
        stuff: least class score of accepted stuff, exclusive.
        pixel: least probability with which a query holds a pixel, exclusive.
        overlap: least share of a query's mask that must still be free, exclusive.
        class_power: exponent of the class score in the visiting order.
        mask_power: exponent of the mask score in the visiting order.
    """

    thing: float
    stuff: float
    pixel: float = 0.4
    overlap: float = 0.8
    class_power: float = 1.0
    mask_power: float = 1.0
