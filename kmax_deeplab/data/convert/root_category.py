"""The category that Roboflow adds to its exports: the project itself, as root of the others."""

from collections.abc import Collection, Mapping, Sequence


def drop_root(
    categories: Sequence[Mapping], used: Collection[int]
) -> tuple[list[Mapping], list[str]]:
    """Drops a category that others lie below, that lies below none, and that no label is of.

    Args:
        categories: of a COCO JSON, with or without "supercategory".
        used: ids of the categories that labels are of.

    Returns:
        The other categories, and a sentence on each dropped one.
    """
    parents = [one.get("supercategory") for one in categories]
    roots = [
        one
        for one in categories
        if one["name"] in parents
        and one.get("supercategory") in (None, "", "none")
        and one["id"] not in used
    ]
    notes = [
        f"Dropped the class {one['name']!r}: no label is of it, it heads the others, as Roboflow "
        "lists a project among its classes."
        for one in roots
    ]
    return [one for one in categories if one not in roots], notes
