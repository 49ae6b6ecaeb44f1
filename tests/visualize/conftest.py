"""Three classes and a small image with one segment of each kind."""

import numpy as np
import pytest

from kmax_deeplab.data.format.categories import Categories


@pytest.fixture
def categories():
    return Categories(
        ids=(10, 20, 30),
        names=("sky", "cat", "<dog>"),
        is_thing=(False, True, True),
        colors=((0, 0, 200), (200, 0, 0), (0, 200, 0)),
    )


@pytest.fixture
def image():
    return np.full((40, 60, 3), 100, dtype=np.uint8)
