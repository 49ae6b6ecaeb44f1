"""Ground truth with one segment for each stuff class, as the format wants it and models predict it.

panopticapi counts every true segment by itself. Where an image has two segments of one stuff class,
a prediction, which has one, can match one of them at best: such labels could never reach full
marks. They are merged before the comparison, so that PQ equals panopticapi's on the merged ground
truth; ground truth that keeps to the format is returned as it is.
"""

from collections.abc import Collection

import numpy as np

from kmax_deeplab.metrics.panoptic_quality import LabelledMap


def merge_stuff(truth: LabelledMap, stuff_ids: Collection[int]) -> LabelledMap:
    """Joins the segments of each stuff class of an image, crowds apart.

    Args:
        truth: of one image.
        stuff_ids: category ids of the dataset's stuff.

    Returns:
        The joint segments have the id of their first one and the sum of the areas.
    """
    first, joint, segments = {}, {}, []
    for segment in truth.segments_info:
        category = segment["category_id"]
        if category not in stuff_ids or segment.get("iscrowd", 0) or category not in first:
            segments.append(dict(segment))
            if category in stuff_ids and not segment.get("iscrowd", 0):
                first[category] = segments[-1]
            continue
        kept = first[category]
        joint[segment["id"]] = kept["id"]
        if "area" in kept and "area" in segment:
            kept["area"] += segment["area"]
        kept.pop("bbox", None)
    if not joint:
        return truth
    ids = np.array(truth.ids)
    for segment_id, kept_id in joint.items():
        ids[truth.ids == segment_id] = kept_id
    return LabelledMap(ids, segments)
