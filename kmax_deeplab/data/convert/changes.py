"""What somebody wants to be other than in the labels: classes renamed, merged, dropped, of a kind.

All options speak of classes by the names that the labels have; --things and --background alone
speak of the names of the new dataset.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np

from kmax_deeplab.data.convert.labels import Labels, Region
from kmax_deeplab.data.format.categories import Categories
from kmax_deeplab.data.format.contents import repeated


@dataclass(frozen=True)
class Changes:
    """Changes of classes.

    Attributes:
        names: new name of a class by its old one; several with one new name become one class.
        ignored: classes whose pixels become unlabelled.
        things: names, after the renaming, of the classes that are things, all others being stuff;
            None leaves every class what it is.
        background: name, after the renaming, of the stuff that pixels without a label become; a new
            class if the labels have none of that name. Pixels of ignored classes become none of it.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    things: Sequence[str] | None = None
    background: str | None = None


@dataclass(frozen=True)
class Target:
    """The classes of the new dataset: what they are, and by which id of theirs an old one goes.

    Attributes:
        categories: of the new dataset.
        ids: new category id of each old one; None for what becomes unlabelled.
        background: category id of pixels that no label marks; None: they stay unlabelled.
    """

    categories: Categories
    ids: Mapping[int, int | None]
    background: int | None = None


def parse_changes(
    rename: Sequence[str] = (),
    merge: Sequence[str] = (),
    ignored: Sequence[str] = (),
    things: Sequence[str] | None = None,
    background: str | None = None,
) -> Changes:
    """Reads the words of the command line.

    Args:
        rename: "old=new".
        merge: "new=old,old".
        ignored: names of classes.
        things: names of classes.
        background: name of a class.

    Raises:
        ValueError: a word has another form, or a class is named twice.
    """
    names: dict[str, str] = {}
    pairs = [(*_halves(word, "--rename old=new"), word) for word in rename]
    for word in merge:
        new, olds = _halves(word, "--merge new=old,old")
        pairs += [(old.strip(), new, word) for old in olds.split(",")]
    for old, new, word in pairs:
        if old in names or old in ignored:
            raise ValueError(f"{word!r}: the class {old!r} is named twice; say one thing of it")
        names[old] = new
    merged = {new for _, new, _ in pairs[len(rename) :]}
    for _, new, word in pairs[: len(rename)]:
        if list(names.values()).count(new) > 1 and new not in merged:
            raise ValueError(f"{word!r}: several classes get this name; say --merge if you mean it")
    return Changes(names, tuple(ignored), None if things is None else tuple(things), background)


def _halves(word: str, form: str) -> tuple[str, str]:
    left, sign, right = (part.strip() for part in word.partition("="))
    if not (left and sign and right):
        raise ValueError(f"{word!r}: write {form}")
    return left, right


def choose_target(found: Categories, changes: Changes) -> Target:
    """Returns the classes of the new dataset; a merged class has the id of its first part.

    Raises:
        ValueError: the labels have two classes of one name, a change names a class that they do
            not have, a new name belongs to another class, a merged class would be thing and stuff,
            or no class is left.
    """
    known = list(found.names)
    _require_known(known, {*changes.names, *changes.ignored})
    rows: dict[str, dict] = {}
    ids: dict[int, int | None] = {}
    for entry in found.to_json():
        old = entry["name"]
        if old in changes.ignored:
            ids[entry["id"]] = None
            continue
        new = changes.names.get(old, old)
        if new in known and new != old and new not in {*changes.names, *changes.ignored}:
            raise ValueError(f"{old!r} becomes {new!r}, which is a class already: merge both")
        row = rows.setdefault(new, {**entry, "name": new})
        if row["isthing"] != entry["isthing"] and changes.things is None:
            raise ValueError(f"{new!r} would be thing and stuff at once: say which with --things")
        ids[entry["id"]] = row["id"]
    if not rows:
        raise ValueError("every class is ignored: nothing is left to learn")
    if changes.background is not None and changes.background not in rows:
        new_id = max(found.ids) + 1
        rows[changes.background] = {"id": new_id, "name": changes.background, "isthing": 0}
    categories = _of_kinds(Categories.from_json(list(rows.values())), changes.things)
    return Target(categories, ids, _find_background(categories, changes.background))


def _require_known(known: Sequence[str], named: Set[str]) -> None:
    if strangers := sorted(named - set(known)):
        raise ValueError(f"the labels have no class {strangers}; their classes are {known[:40]}")
    if twice := [name for name in repeated(known) if name not in named]:
        raise ValueError(
            f"several classes are called {twice[0]!r}: give them names of their own, or say "
            f"--merge {twice[0]!r}={twice[0]!r} to make one of them"
        )


def _of_kinds(categories: Categories, things: Sequence[str] | None) -> Categories:
    if things is None:
        return categories
    if strangers := sorted(set(things) - set(categories.names)):
        raise ValueError(f"--things {strangers}: the classes are {list(categories.names[:40])}")
    return replace(categories, is_thing=tuple(name in things for name in categories.names))


def _find_background(categories: Categories, name: str | None) -> int | None:
    for category_id, other, is_thing in categories.rows():
        if other == name and is_thing:
            raise ValueError(f"--background {name}: it is a thing; a background is stuff")
        if other == name:
            return category_id
    return None


def change(labels: Labels, target: Target) -> Labels:
    """Gives the regions of an image their new classes; the pixels of ignored ones become void."""
    regions, ignored = [], []
    for region in labels.regions:
        if (category_id := target.ids[region.category_id]) is None:
            ignored.append(region)
        else:
            regions.append(replace(region, category_id=category_id))
    return replace(labels, regions=regions, void=_join(labels, ignored))


def _join(labels: Labels, ignored: Sequence[Region]) -> np.ndarray | None:
    """Adds the pixels of regions to those that are void."""
    if not ignored:
        return labels.void
    void = np.zeros(labels.size, bool) if labels.void is None else labels.void.copy()
    for region in ignored:
        void[region.box] |= region.mask
    return void
