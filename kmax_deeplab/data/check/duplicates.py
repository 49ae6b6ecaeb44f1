"""Images that occur twice: fingerprints of all images of a check enter, pairs and findings leave.

Two images are the same if at most MOST_BITS of their fingerprints' bits differ and their tiny
pictures correlate. Candidates are those that agree in two of BLOCKS blocks of bits, as all pairs
with at most BLOCKS - 2 other bits do; sorting finds them, so no image is compared with all others.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from kmax_deeplab.data.check.dataset_check import DatasetReport
from kmax_deeplab.data.check.findings import Finding
from kmax_deeplab.data.check.fingerprints import BITS, Fingerprint

BLOCKS = 8
MOST_BITS = BLOCKS - 2
"""Differing bits of two fingerprints of one image."""
LEAST_CORRELATION = 0.9
"""Of the tiny pictures of one image; 484 images of nuclei stay below 0.5, their JPEGs of quality 50
above 0.93."""
MOST_NEIGHBOURS = 64
"""That an image is compared with for each pair of blocks: the frames of a long video all agree."""
ROWS = 4096
"""Pairs of tiny pictures that are compared at a time."""


class Twins:
    """An image that each is the same as, among those of its dataset and of the ones before it.

    Args:
        prints: of the images.
        datasets: (N,) to which each belongs: 0, 1, …

    Attributes:
        within, before: (N,) positions of these images, -1 where there is none.
    """

    def __init__(self, prints: Sequence[Fingerprint], datasets: np.ndarray) -> None:
        self.datasets = datasets
        self.within, self.before = np.full((2, len(prints)), -1)
        self._bits = np.array([each.bits for each in prints], dtype=np.uint64)
        thumbnails = b"".join(each.thumbnail for each in prints)
        self._thumbnails = np.frombuffer(thumbnails, np.int8).reshape(len(prints), -1)
        for first, second in _candidates(self._bits):
            self._compare(first, second)

    def _compare(self, first: np.ndarray, second: np.ndarray) -> None:
        """Keeps those of (P,) pairs that are the same image, if one of them has no twin yet."""
        swap = self.datasets[first] > self.datasets[second]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        is_within = self.datasets[first] == self.datasets[second]
        alone = (self.within[first] < 0) | (self.within[second] < 0)
        asked = np.flatnonzero(np.where(is_within, alone, self.before[second] < 0))
        for start in range(0, len(asked), ROWS):
            chosen = asked[start : start + ROWS]
            chosen = chosen[self._agree(first[chosen], second[chosen])]
            chosen = chosen[self._correlate(first[chosen], second[chosen])]
            a, b, own = first[chosen], second[chosen], is_within[chosen]
            self.before[b[~own]] = a[~own]
            self.within[a[own]], self.within[b[own]] = b[own], a[own]

    def _agree(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        differing = (self._bits[first] ^ self._bits[second]).view(np.uint8)
        return np.unpackbits(differing).reshape(len(first), BITS).sum(axis=1) <= MOST_BITS

    def _correlate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        a, b = (self._thumbnails[images].astype(np.float32) for images in (first, second))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return (a * b).sum(axis=1) >= LEAST_CORRELATION * norms


def _candidates(bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields pairs of positions, (P,) each, whose bits agree in two blocks."""
    width = BITS // BLOCKS
    blocks = [(bits >> np.uint64(width * i)).astype(np.uint8) for i in range(BLOCKS)]
    mixed = np.random.default_rng(0).permutation(len(bits))  # else equal ones lie by dataset
    nearby = mixed[np.argsort(bits[mixed], kind="stable")]
    for one, other in combinations(blocks, 2):
        keys = one[nearby].astype(np.uint16) << width | other[nearby]
        order = np.argsort(keys, kind="stable")
        keys, order = keys[order], nearby[order]
        starts = np.arange(len(order))
        for shift in range(1, MOST_NEIGHBOURS + 1):
            starts = starts[: np.searchsorted(starts, len(order) - shift)]
            starts = starts[keys[starts] == keys[starts + shift]]
            if not len(starts):
                break
            yield order[starts], order[starts + shift]


def check_duplicates(reports: Sequence[DatasetReport]) -> list[Finding]:
    """Finds images that are in two datasets, or twice in one; a JSON that is given twice is one."""
    reports = list({report.source.json: report for report in reports}.values())
    known = [
        (position, pair.image_file, print_)
        for position, report in enumerate(reports)
        for pair in report.pairs
        if (print_ := report.reports[pair.image["id"]].fingerprint)
    ]
    if not known:
        return []
    datasets, files, prints = zip(*known, strict=True)
    twins = Twins(prints, np.array(datasets))
    found = []
    for i in np.flatnonzero(twins.before >= 0).tolist():
        other = int(twins.before[i])
        name = reports[datasets[other]].source.name
        message = f"is {_alike(prints, i, other)} {files[other]} of {name}"
        found.append(Finding("leaked-image", files[i], message, beside=files[other]))
    pairs = {tuple(sorted((i, int(twins.within[i])))) for i in np.flatnonzero(twins.within >= 0)}
    for first, second in sorted(pairs):
        message = f"is {_alike(prints, first, second)} {files[first]}"
        found.append(Finding("near-duplicate", files[second], message, beside=files[first]))
    return found


def _alike(prints: Sequence[Fingerprint], first: int, second: int) -> str:
    return "the same picture as" if prints[first] == prints[second] else "nearly"
