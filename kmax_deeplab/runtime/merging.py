"""Logits of an image enter, its panoptic map and segments leave: `postprocessing` in numpy.

The steps are those of `postprocessing.holders` and `postprocessing.panoptic`, which also run on
accelerators; tables and decisions are shared.
"""

from collections.abc import Iterator

import numpy as np

from kmax_deeplab.postprocessing.acceptance import accept, most_holders, number
from kmax_deeplab.postprocessing.geometry import Geometry, axis_weights
from kmax_deeplab.values import VOID, MergeThresholds

BLOCK_VALUES = 2**22
"""Logits at full resolution at a time: 16 MiB."""


def find_segments(
    class_logits: np.ndarray,
    mask_logits: np.ndarray,
    geometry: Geometry,
    thresholds: MergeThresholds,
    is_thing: np.ndarray,
) -> tuple[np.ndarray, list[dict]]:
    """Turns the answer of the network for one image into disjoint segments.

    Args:
        class_logits: (Q, K + 1) float32, void last.
        mask_logits: (Q, h, w) float32.
        geometry: where the image lies in the padded input, and the size of the result.
        thresholds: of the merge.
        is_thing: (K,) bool.

    Returns:
        (H, W) int32 segment ids, 0 where void, and the segments as `panoptic.merge` gives them.
    """
    queries, probs = _find_holders(mask_logits, geometry, thresholds.pixel)
    class_probs = softmax(class_logits.copy())[:, :-1]
    scores, labels = class_probs.max(1), class_probs.argmax(1)
    areas, mask_scores = _measure(queries, probs, len(scores))
    candidates = _candidates(scores, mask_scores, is_thing[labels], thresholds)
    pixels, groups, holders, counts = _find_contest(queries)
    accepted, owners = accept(candidates, areas.tolist(), holders, counts, thresholds.overlap)
    confidences = (scores * mask_scores).tolist()
    described = [
        {"isthing": bool(is_thing[label]), "category_id": label, "query": query, "score": score}
        for query, (label, score) in enumerate(zip(labels.tolist(), confidences, strict=True))
    ]
    id_of_query, segments = number(accepted, described)
    ids = np.array(id_of_query, np.int32)
    panoptic = ids[queries[0]]
    panoptic[pixels] = ids[owners[groups]]
    return panoptic.reshape(geometry.output), segments


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turns logits into probabilities along the last axis, in their place."""
    logits -= logits.max(-1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(-1, keepdims=True)
    return logits


def resized_blocks(mask_logits: np.ndarray, geometry: Geometry) -> Iterator[np.ndarray]:
    """Resizes mask logits, (Q, h, w), to the output size: some rows at a time, (pixels, Q)."""
    num_queries, *grid = mask_logits.shape
    source = np.ascontiguousarray(mask_logits.transpose(1, 2, 0))  # (h, w, Q)
    by_row, by_column = (
        axis_weights(*sizes, geometry.align_corners)
        for sizes in zip(grid, geometry.padded, geometry.content, geometry.output, strict=True)
    )
    height, width = geometry.output
    step = max(BLOCK_VALUES // (width * num_queries), 1)
    for top in range(0, height, step):
        weights = by_row[top : top + step]
        used = np.flatnonzero(weights.any(0))
        rows = slice(used[0], used[-1] + 1)
        mixed = weights[:, rows] @ source[rows].reshape(rows.stop - rows.start, -1)
        resized = by_column @ mixed.reshape(len(weights), grid[1], num_queries)
        yield resized.reshape(-1, num_queries)


def _find_holders(
    mask_logits: np.ndarray, geometry: Geometry, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the queries that hold each pixel, the strongest first: see `holders.Holders`.

    Returns:
        (H, P) int64 queries, VOID where there is none, and (H, P) float32 probabilities.
    """
    pixels = geometry.output[0] * geometry.output[1]
    size = most_holders(threshold, len(mask_logits)), pixels
    queries, held = np.full(size, VOID), np.zeros(size, np.float32)
    start = 0
    for block in resized_blocks(mask_logits, geometry):
        probs, rows = softmax(block), np.arange(len(block))
        for rank in range(len(queries)):
            best = probs[rows].argmax(1) if rank else probs.argmax(1)
            values = probs[rows, best]
            holds = values > threshold
            rows, best = rows[holds], best[holds]
            queries[rank, start + rows], held[rank, start + rows] = best, values[holds]
            probs[rows, best] = -1
        start += len(block)
    return queries, held


def _measure(
    queries: np.ndarray, probs: np.ndarray, num_queries: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels of each query and its mean probability there, 0 where it has none."""
    owners = (queries - VOID).ravel()
    areas = np.bincount(owners, minlength=num_queries + 1)[1:]
    sums = np.bincount(owners, probs.ravel(), minlength=num_queries + 1)[1:]  # float64
    return areas, (sums / np.maximum(areas, 1)).astype(np.float32)


def _candidates(
    scores: np.ndarray, mask_scores: np.ndarray, things: np.ndarray, thresholds: MergeThresholds
) -> list[int]:
    """Returns the queries whose class is sure enough, in the order of their visits."""
    rank = scores**thresholds.class_power * mask_scores**thresholds.mask_power
    order = np.argsort(-rank, kind="stable")
    limits = np.where(things, np.float32(thresholds.thing), np.float32(thresholds.stuff))
    return order[(scores > limits)[order]].tolist()


def _find_contest(queries: np.ndarray) -> tuple[np.ndarray, ...]:
    """Groups the pixels with several holders by who these are: see `panoptic.Contest`."""
    contested = queries[1] != VOID if len(queries) > 1 else np.zeros(queries.shape[1], bool)
    pixels = np.flatnonzero(contested)
    several = -np.sort(-queries[:, pixels], axis=0)  # VOID last
    if not len(pixels):
        return pixels, pixels, several.T, pixels
    found, groups, counts = np.unique(several, axis=1, return_inverse=True, return_counts=True)
    return pixels, groups.reshape(-1), found.T, counts
