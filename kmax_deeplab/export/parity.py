"""Two ways to predict one image enter, how far they are apart leaves."""

from dataclasses import asdict, dataclass

import numpy as np

from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.runtime.exported import ExportedModel

TOLERANCE = 1e-4
"""Most that a logit may differ, per unit of the largest logit where that exceeds 1.

Float32 allows no less: with logits up to 28, PyTorch itself was 2.5e-4 from float64.
"""
FEW_PIXELS = 1e-5
"""Share of pixels that may differ: those whose probabilities are a tie but for rounding."""


@dataclass(frozen=True)
class Parity:
    """How far an exported model is from PyTorch on one image.

    Attributes:
        class_logits, mask_logits: largest differences over all windows.
        largest: absolute logit of PyTorch.
        pixels: of the image.
        different: how many of them have another segment id.
        same_segments: share of pixels in the same segments, whatever their ids.
        segments: that PyTorch finds.
    """

    class_logits: float
    mask_logits: float
    largest: float
    pixels: int
    different: int
    same_segments: float
    segments: int

    def require(self) -> None:
        """Refuses what is not the same model.

        Raises:
            ValueError: saying by how much it differs.
        """
        most = TOLERANCE * max(1.0, self.largest)
        worst = max(self.class_logits, self.mask_logits)
        if worst > most or self.different > FEW_PIXELS * self.pixels:
            raise ValueError(
                f"the exported model is not the same: logits differ by up to {worst:.2e} (allowed "
                f"are {most:.1e}), {self.different} of {self.pixels} pixels have another segment; "
                "nothing was written"
            )

    def to_json(self) -> dict:
        """Returns plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"largest difference of class logits {self.class_logits:.1e}, of mask logits "
            f"{self.mask_logits:.1e} (largest logit {self.largest:.1f}); {self.different} of "
            f"{self.pixels} pixels have another id, {100 * self.same_segments:.3f} % lie in the "
            f"same segments ({self.segments})"
        )


def compare(predict: Predictor, exported: ExportedModel, image: np.ndarray) -> Parity:
    """Predicts an image, (H, W, 3) uint8 RGB, with PyTorch and with an exported model."""
    named = predict.read(image, "the image of the check")
    glances = list(predict.look(named))
    finals = [glance.layers[-1] for glance in glances]
    expected = [(final.class_logits[0].numpy(), final.mask_logits[0].numpy()) for final in finals]
    answers = list(exported.look(image))
    found = [(answer.class_logits, answer.mask_logits) for answer in answers]
    apart = [
        [float(np.abs(a - b).max()) for a, b in zip(*pair, strict=True)]
        for pair in zip(expected, found, strict=True)
    ]
    seen = predict.decide(named, glances)
    ids, segments = exported.decide(answers, image.shape[:2])
    return Parity(
        *map(max, zip(*apart, strict=True)),
        largest=max(float(np.abs(logits).max()) for pair in expected for logits in pair),
        pixels=ids.size,
        different=int((ids != seen.panoptic).sum()),
        same_segments=same_share(
            (seen.panoptic, {s.id: s.category_id for s in seen.segments}),
            (ids, {s["id"]: s["category_id"] for s in segments}),
        ),
        segments=len(seen.segments),
    )


Labelled = tuple[np.ndarray, dict[int, int]]
"""(H, W) segment ids, 0 where void, and the class of each id."""


def same_share(first: Labelled, second: Labelled) -> float:
    """Returns the share of pixels in the same segments, or void in both.

    A segment of the first map is that of the second with which it shares most pixels, if they are
    of one class and neither has a partner with which it shares more.
    """
    ids, classes = zip(first, second, strict=True)
    codes = ids[0].astype(np.int64) << 32 | ids[1]
    found, counts = np.unique(codes, return_counts=True)
    taken: tuple[set, set] = (set(), set())
    same = 0
    for index in np.argsort(-counts, kind="stable"):
        pair = int(found[index] >> 32), int(found[index] & 0xFFFFFFFF)
        is_free = all(one not in seen for one, seen in zip(pair, taken, strict=True))
        if is_free and classes[0].get(pair[0]) == classes[1].get(pair[1]):
            same += int(counts[index])
            for one, seen in zip(pair, taken, strict=True):
                seen.add(one)
    return same / ids[0].size
