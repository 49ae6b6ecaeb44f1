"""One way on for the labels of every format: a source enters, panoptic datasets leave.

    regions of an image -> changes of classes -> one segment a pixel -> PNG and a line of a journal

Everything is made in a hidden folder beside the new one, which takes its name when every image is
done. A run that was interrupted, or that met damaged files, goes on from there when it is started
again with the same words. Images that cannot be converted are all named before it ends.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from kmax_deeplab.data.convert.changes import Target, change
from kmax_deeplab.data.convert.journal import Journal
from kmax_deeplab.data.convert.labels import LabelledImage, Labels, Source
from kmax_deeplab.data.convert.parts import Parts
from kmax_deeplab.data.convert.stacking import stack
from kmax_deeplab.data.convert.written import Written, count_image
from kmax_deeplab.data.format.contents import leaves_folder
from kmax_deeplab.data.format.fragment import write_fragment
from kmax_deeplab.data.format.pngs import write_ids
from kmax_deeplab.data.format.writer import JSON, PNGS, describe_segments, write_panoptic_json
from kmax_deeplab.data.processes import map_processes
from kmax_deeplab.whole_files import WholeFolder

JOURNAL = "journal.jsonl"
"""Of the hidden folder."""
CHUNK = 8
"""Images that a process takes at once."""
MOST_NAMED = 20
"""Images that cannot be converted and are named."""


@dataclass(frozen=True)
class Job:
    """What every process must know: how to draw, the new classes, where to write."""

    draw: Callable[[LabelledImage], Labels]
    target: Target
    folder: Path


Progress = Callable[[Iterator[dict], int], Iterator[dict]]
"""Shows how many of a number of records have come."""


def convert(
    source: Source,
    target: Target,
    parts: Parts,
    output: Path,
    *,
    workers: int = 1,
    progress: Progress = lambda records, total: records,
) -> dict[str, Written]:
    """Writes the panoptic datasets of a source.

    Args:
        source: the labels.
        target: see `changes.choose_target`.
        parts: see `parts.assign_parts`.
        output: new folder; it gets `panoptic.json` and `panoptic/`, or such a pair in a folder for
            each part, and beside them `dataset.yaml` where the images lie in one folder.
        workers: processes; 1 converts in this one.

    Returns:
        What was written, by part, in the order of the images.

    Raises:
        ValueError: the folder holds files, there is no image, two would get one PNG, a part would
            lie outside of it, or images cannot be converted, which are named.
    """
    _require_new(output, parts)
    images = [image for image in source.images if image.file_name in parts]
    if not images:
        raise ValueError("the labels list no image: there is nothing to convert")
    names = name_pngs(images)
    folder = WholeFolder(output)
    job = Job(source.draw, target, folder.partial)
    drawn = _tell_draw(source.draw)
    keys = {name: _key(image, target, parts, drawn) for name, image in names.items()}
    with _open_journal(folder, keys) as journal:
        _clear(folder.partial, {Path(parts[names[n].file_name], PNGS, n) for n in journal})
        waiting = [
            (name, image, parts[image.file_name], keys[name])
            for name, image in names.items()
            if name not in journal
        ]
        records = map_processes(partial(_write, job), waiting, workers, CHUNK)
        _refuse(list(_keep(progress(records, len(waiting)), journal)), len(names))
        written = {
            part: _finish(folder.partial / part, part, names, parts, journal, target)
            for part in dict.fromkeys(parts[image.file_name] for image in images)
        }
    if source.folder is not None:
        write_fragment(folder.partial, output.name, source.folder, list(written))
    (folder.partial / JOURNAL).unlink()
    if output.exists():
        output.rmdir()
    folder.finish()
    return written


def _require_new(output: Path, parts: Parts) -> None:
    if output.name in ("", ".."):
        raise ValueError(
            f"--output {output}: name a new folder, it takes its name when all is done"
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is not empty: delete it or choose another --output")
    if strange := sorted({part for part in parts.values() if part and leaves_folder(part)}):
        raise ValueError(f"the part {strange[0]!r} would lie outside of {output}: rename it")


def name_pngs(images: Sequence[LabelledImage]) -> dict[str, LabelledImage]:
    """Names the PNG of every image, by its path without suffix.

    Raises:
        ValueError: two images would get one PNG, or one would lie outside of the folder.
    """
    names: dict[str, LabelledImage] = {}
    for image in images:
        name = PurePosixPath(image.file_name).with_suffix("").as_posix() + ".png"
        if leaves_folder(name):
            raise ValueError(f"the PNG {name!r} would lie outside of the folder: rename it")
        if name in names:
            other = names[name].file_name
            raise ValueError(f"{other} and {image.file_name} both get {name}: rename one")
        names[name] = image
    return names


def _tell_draw(draw: Callable) -> str:
    """Writes down how labels are drawn: by which function, with which values of the reader."""
    if isinstance(draw, partial):
        return f"{_tell_draw(draw.func)} {draw.args!r} {draw.keywords!r}"
    return f"{draw.__module__}.{draw.__qualname__}"


def _key(image: LabelledImage, target: Target, parts: Parts, drawn: str) -> str:
    """Sums up what the segments of an image depend on."""
    states = [(str(path), *_state(path)) for path in image.files]
    said = [image.image_id, image.file_name, parts[image.file_name], states, drawn]
    said += [target.categories.to_json(), sorted(target.ids.items()), target.background]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)  # whoever draws the image says that it is missing
    return status.st_size, status.st_mtime_ns


def _open_journal(folder: WholeFolder, keys: Mapping[str, str]) -> Journal:
    """Opens the journal of an interrupted run, or begins anew where one was of other labels."""
    journal = Journal(folder.partial / JOURNAL)
    if all(name in keys and journal[name]["key"] == keys[name] for name in journal):
        return journal
    journal.__exit__(None, None, None)
    folder.clear()
    return Journal(folder.partial / JOURNAL)


def _clear(folder: Path, noted: Set[Path]) -> None:
    """Removes PNGs that no journal vouches for: half written, or of a run with other words."""
    for path in folder.rglob("*.png"):
        if path.relative_to(folder) not in noted:
            path.unlink()


def _write(job: Job, one: tuple[str, LabelledImage, str, str]) -> dict:
    """Converts an image; returns its line of the journal, or its "error"."""
    name, image, part, key = one
    try:
        labels = job.draw(image)
    except (ValueError, FileNotFoundError) as error:
        return {"error": str(error)}
    changed = change(labels, job.target)
    stacked = stack(changed, job.target.categories, job.target.background)
    write_ids(job.folder / part / PNGS / name, stacked.segment_map)
    infos = describe_segments(stacked.segment_map, stacked.segments)
    height, width = labels.size
    size = {"height": height, "width": width}
    return {
        "name": name,
        "key": key,
        "image": {"id": image.image_id, "file_name": image.file_name, **size},
        "annotation": {"image_id": image.image_id, "file_name": name, "segments_info": infos},
        "left_out": len(stacked.segments) - len(infos),
        "contested": stacked.contested,
        "dropped": dict(labels.dropped),
        "notes": dict(labels.notes),
    }


def _keep(records: Iterable[dict], journal: Journal) -> Iterator[str]:
    """Notes the images that were converted; yields what is wrong with the others."""
    for record in records:
        if "error" in record:
            yield record["error"]
        else:
            journal.add(record)


def _refuse(refused: Sequence[str], total: int) -> None:
    if not refused:
        return
    more = len(refused) - MOST_NAMED
    listed = [*refused[:MOST_NAMED], *([f"… and {more} more"] if more > 0 else [])]
    raise ValueError(
        f"{len(refused)} of {total} images cannot be converted; the others are done and wait for "
        "these, mend them and start again:\n  " + "\n  ".join(listed)
    )


def _finish(
    folder: Path,
    part: str,
    names: Mapping[str, LabelledImage],
    parts: Parts,
    journal: Journal,
    target: Target,
) -> Written:
    """Writes the JSON of a part and counts what it holds."""
    chosen = [name for name, image in names.items() if parts[image.file_name] == part]
    images = (journal[name]["image"] for name in chosen)
    annotations = (journal[name]["annotation"] for name in chosen)
    write_panoptic_json(folder / JSON, images, annotations, target.categories)
    written = Written()
    kinds = {i: (name, is_thing) for i, name, is_thing in target.categories.rows()}
    for name in chosen:
        count_image(written, journal[name], kinds)
    return written
