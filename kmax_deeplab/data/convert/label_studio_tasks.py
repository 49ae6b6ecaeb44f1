"""Tasks of a Label Studio export: which annotation of them counts, which image they show."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from kmax_deeplab.data.format.contents import read_json
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES

UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts in front of the name of an uploaded file."""
USUAL_FIELD = "image"
"""Of a task's data, in Label Studio's own templates."""


def read_tasks(path: Path) -> list[Mapping]:
    """Reads the tasks of an export.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no export as JSON.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not tasks:
        raise ValueError(f"{path}: not the list of tasks that Label Studio exports as JSON")
    for number, task in enumerate(tasks):
        annotations = task.get("annotations") if isinstance(task, Mapping) else None
        if not isinstance(annotations, list) or not all(
            isinstance(one, Mapping) for one in annotations
        ):
            raise ValueError(
                f"{path}: task {number} has no list of annotations: export the project as JSON, "
                "not as JSON-MIN or CSV"
            )
    return tasks


def choose_annotation(annotations: Sequence[Mapping]) -> tuple[Mapping | None, int]:
    """Chooses the annotation of an image that counts (see the top of `from_label_studio`).

    Returns:
        It, or None if there is none, and how many others were not cancelled.
    """
    usable = [
        one
        for one in annotations
        if not one.get("was_cancelled") and isinstance(one.get("result"), list)
    ]
    truths = [one for one in usable if one.get("ground_truth")]
    if not usable:
        return None, 0
    ordered = sorted(
        truths or usable, key=lambda one: str(one.get("updated_at") or one.get("created_at") or "")
    )
    return ordered[-1], len(usable) - 1


def find_place(task: Mapping, field: str | None, name: str) -> str:
    """Finds where a task says that its image lies.

    Args:
        task: of an export.
        field: of its data; None: the one that names an image.
        name: of the task, for whoever looks for it.

    Raises:
        ValueError: it has no such field, or several name an image.
    """
    data = task.get("data")
    texts = data if isinstance(data, Mapping) else {}
    texts = {key: text for key, text in texts.items() if isinstance(text, str) and text}
    if field is not None:
        if field not in texts:
            raise ValueError(f"{name}: its data have no {field!r}; they have {sorted(texts)}")
        return texts[field]
    if USUAL_FIELD in texts:
        return texts[USUAL_FIELD]
    fields = [key for key, text in texts.items() if _is_image(list_places(text)[0])]
    if len(fields) != 1:
        which = f"of its data {sorted(texts)}, {fields or 'none'}"
        raise ValueError(f"{name}: {which} may name its image: say which with --image-field")
    return texts[fields[0]]


def _is_image(place: str) -> bool:
    return PurePosixPath(place).suffix.lower() in IMAGE_SUFFIXES


def list_places(text: str) -> list[str]:
    """Lists the paths that a task may mean, the likelier first.

    >>> list_places("/data/upload/1/1a2b3c4d-cat.png")
    ['/data/upload/1/1a2b3c4d-cat.png', '/data/upload/1/cat.png']
    >>> list_places("/data/local-files/?d=set%201/cat.png")
    ['set 1/cat.png']
    >>> list_places("https://host/set%201/cat.png?sign=x")
    ['/set 1/cat.png', '/set%201/cat.png']
    """
    parts = urlsplit(text)
    if parts.path.endswith("/local-files/"):
        found = parse_qs(parts.query).get("d", [text])
    elif parts.netloc:
        found = [unquote(parts.path), parts.path]
    else:
        found = [text, unquote(text)]
    places: list[str] = []
    for place in (place.replace("\\", "/") for place in found):
        folder, slash, name = place.rpartition("/")
        places += [place, folder + slash + UPLOADED.sub("", name)]
    return list(dict.fromkeys(places))
