"""Contact sheet: pictures of any sizes enter, one picture with all of them in rows leaves."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = (320, 240)
"""(width, height) in pixels that every picture is fitted into."""
GAP = 8
CAPTION = 18
"""Height of the line below a picture, pixels."""
BACKGROUND = (24, 24, 28)


def contact_sheet(pictures: Sequence[tuple[str, np.ndarray]], columns: int = 4) -> np.ndarray:
    """Arranges pictures in rows, each fitted into a cell with its caption below.

    Args:
        pictures: caption and (H, W, 3) uint8 RGB, in order.
        columns: pictures a row.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), BACKGROUND)
    for index, (caption, picture) in enumerate(pictures):
        row, column = divmod(index, columns)
        _place(sheet, picture, caption, (GAP + column * width, GAP + row * height))
    return np.asarray(sheet).copy()


def _place(sheet: Image.Image, picture: np.ndarray, caption: str, corner: tuple[int, int]) -> None:
    """Pastes a picture into the middle of the cell at a corner (x, y) and writes its caption."""
    image = Image.fromarray(picture)
    factor = min(cell / side for cell, side in zip(CELL, image.size, strict=True))
    size = tuple(max(round(factor * side), 1) for side in image.size)
    x, y = (c + (cell - side) // 2 for c, cell, side in zip(corner, CELL, size, strict=True))
    sheet.paste(image.resize(size, Image.Resampling.LANCZOS), (x, y))
    position = (corner[0], corner[1] + CELL[1] + 2)
    font = ImageFont.load_default(size=12)
    ImageDraw.Draw(sheet).text(position, _fit(caption, font), fill=(220, 220, 220), font=font)


def _fit(caption: str, font: ImageFont.FreeTypeFont) -> str:
    """Shortens a caption on the left until it is no wider than a cell."""
    shown = caption
    while len(shown) > 1 and font.getlength(shown) > CELL[0]:
        caption = caption[1:]
        shown = "…" + caption
    return shown
