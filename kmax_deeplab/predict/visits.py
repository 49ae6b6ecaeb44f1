"""The images of all who look at a page, within bounded memory."""

from collections import OrderedDict
from threading import Lock

from kmax_deeplab.predict.session import Visit

MOST_BYTES = 2**31
"""Of all images that are kept, with what the network says about them."""


class GoneError(LookupError):
    """An image is not kept any more."""


class Visits:
    """The images of all who look at the page; those not used for longest go first.

    Args:
        most_bytes: of all but the last one.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes, self._lock = most_bytes, Lock()
        self._kept: OrderedDict[str, Visit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: str, one: Visit) -> None:
        """Keeps an image, in place of the one before of the same key."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = one
            total = sum(visit.num_bytes for visit in self._kept.values())
            while total > self.most_bytes and len(self._kept) > 1:
                total -= self._kept.popitem(last=False)[1].num_bytes

    def forget(self, key: str) -> None:
        """Forgets an image, if there is one of this key."""
        with self._lock:
            self._kept.pop(key, None)

    def get(self, key: str) -> Visit:
        """Returns an image.

        Raises:
            GoneError: it is not kept any more.
        """
        with self._lock:
            if key not in self._kept:
                raise GoneError("this image is not kept any more: upload it again")
            self._kept.move_to_end(key)
            return self._kept[key]
