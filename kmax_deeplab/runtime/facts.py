"""What the file of an exported model says besides its weights, so that the file is enough."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.model.description import InputDescription
from kmax_deeplab.values import MergeThresholds

PIXELS, CLASS_LOGITS, MASK_LOGITS = "pixels", "class_logits", "mask_logits"
"""Input and outputs of the network."""
HOW_TO_USE = (
    "pixels: (B, 3, H, W) float32 RGB in [0, 255], the image resized as `input` says and padded "
    "right and bottom to H × W with input.pixel_mean; class_logits: (B, Q, K + 1), void last; "
    "mask_logits: (B, Q, H / 4, W / 4) rounded up, a softmax over Q gives each pixel's segment"
)


@dataclass(frozen=True)
class Facts:
    """What is needed to use an exported model.

    Attributes:
        categories: the classes.
        inputs: what images go through; `image_size` is that of the network's input.
        merge: when a query becomes a segment.
        made: by what, and from what.
        checked: how near its answers are to those of PyTorch.
    """

    categories: Categories
    inputs: InputDescription
    merge: MergeThresholds
    made: Mapping[str, Any]
    checked: Mapping[str, Any]

    def to_texts(self) -> dict[str, str]:
        """Returns named texts, as ONNX keeps them."""
        parts = {
            "categories": self.categories.to_json(),
            "input": asdict(self.inputs),
            "merge": asdict(self.merge),
            "made": self.made,
            "checked": self.checked,
        }
        texts = {name: json.dumps(part, ensure_ascii=False) for name, part in parts.items()}
        return {**texts, "how_to_use": HOW_TO_USE}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> "Facts":
        """Reads what `to_texts` returns.

        Raises:
            ValueError: it is something else.
        """
        try:
            parts = {name: json.loads(text) for name, text in texts.items() if text[:1] in "[{"}
            return cls(
                Categories.from_json(parts["categories"]),
                InputDescription(**parts["input"]),
                MergeThresholds(**parts["merge"]),
                parts["made"],
                parts["checked"],
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"it does not say what tools/export.py writes ({error})") from error
