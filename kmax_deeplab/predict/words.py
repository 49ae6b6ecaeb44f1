"""What was found in an image, in words: for those who look at its picture."""

from collections import Counter

from kmax_deeplab.predict.prediction import PredictedImage
from kmax_deeplab.visualize.overlays import segment_titles

VOID = "No segment is sure enough here."


def titles(found: PredictedImage) -> dict[int, str]:
    """Returns by id what segments are called in the picture: nucleus 12, or background."""
    named = segment_titles(found.segments_info, found.categories)
    return {number: " ".join(words).strip() for number, words in named.items()}


def describe(found: PredictedImage, chosen: int) -> str:
    """Says what the segment of an id is; 0: that there is none."""
    if not chosen:
        return VOID
    segment = next(segment for segment in found.segments if segment.id == chosen)
    left, top, right, bottom = segment.box
    return (
        f"{titles(found)[chosen]}: score {segment.score:.2f}, {segment.area:,} pixels "
        f"({segment.area / found.panoptic.size:.1%} of the image), {right - left} wide and "
        f"{bottom - top} high, id {segment.id}"
    )


def summary(found: PredictedImage) -> str:
    """Says what was found, and whether there may be more."""
    height, width = found.panoptic.shape
    counts = Counter((s.name, s.isthing) for s in found.segments)
    parts = [f"{n} × {name}" if isthing else name for (name, isthing), n in counts.items()]
    crowded = f" Nearly all {found.num_queries} queries are used up: there may be more to see."
    return (
        f"{found.name}, {width} × {height} pixels: {', '.join(parts) or 'nothing found'}."
        f"{crowded if found.is_crowded else ''}"
    )


def table(found: PredictedImage) -> list[list]:
    """Returns a row for each segment: id, title, score, pixels."""
    named = titles(found)
    return [[s.id, named[s.id], round(s.score, 3), s.area] for s in found.segments]
