"""Images that labels name by places of another machine: such a name enters, a file here leaves."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from kmax_deeplab.data.format.contents import leaves_folder
from kmax_deeplab.data.format.images import IMAGE_SUFFIXES, find_files


class ImageFolder:
    """A folder of images.

    Args:
        path: of the folder; subfolders count.

    Raises:
        FileNotFoundError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: this folder of images does not exist")
        self.path = path
        self._users: dict[Path, str] = {}

    def find(self, places: Sequence[str], user: str) -> Path:
        """Finds the file of an image: by its whole place, by ever shorter ends of it, by its name.

        Args:
            places: where others say that it lies, with slashes; the likelier first.
            user: who asks, "task 3"; each image is for one of them.

        Raises:
            FileNotFoundError: the folder holds no such image.
            ValueError: it holds several, or another user has the image already.
        """
        found = self._find(places, user)
        if (other := self._users.setdefault(found, user)) != user:
            raise ValueError(f"{other} and {user} are both of {found}: keep one of them")
        return found

    def _find(self, places: Sequence[str], user: str) -> Path:
        for place in places:
            for end in _ends(place):
                if not leaves_folder(end) and (self.path / end).is_file():
                    return self.path / end
        for place in places:
            alike = self._by_name[place.rpartition("/")[2]]
            if len(alike) > 1:
                raise ValueError(f"{user}: {alike[0]} and {alike[1]} may both be {places[0]!r}")
            if alike:
                return alike[0]
        raise FileNotFoundError(
            f"{user}: {self.path} holds no image {places[0]!r}: put it there, or name another "
            "folder with --images"
        )

    @cached_property
    def _by_name(self) -> defaultdict[str, list[Path]]:
        by_name = defaultdict(list)
        for path in find_files([self.path], IMAGE_SUFFIXES):
            by_name[path.name].append(path)
        return by_name


def _ends(place: str) -> Iterator[str]:
    """Yields "a/b/c.png", "b/c.png", "c.png"."""
    parts = [part for part in place.split("/") if part]
    for start in range(len(parts)):
        yield "/".join(parts[start:])
