"""Pictures in a page: captioned panels enter, HTML leaves."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from kmax_deeplab.visualize.examples import Example, Panel

MOST_IN_A_ROW = 4
"""Pictures side by side; more go into two rows."""
WIDE = 1.6
"""Width by height from which on pictures need more room."""


def show_example(example: Example, anchor: str = "") -> str:
    """Shows an image with its panels, and its k-means layers below."""
    panels = "".join(map(show_panel, example.panels))
    layers = "".join(map(show_panel, example.layers))
    columns = _columns(example)
    below = f'<div class="layers">{layers}</div>' if layers else ""
    named = f' id="{anchor}"' if anchor else ""
    return (
        f"<article{named}><h3>{escape(example.name)}</h3>"
        f'<div class="panels" style="--columns:{columns}">{panels}</div>{below}</article>'
    )


def _columns(example: Example) -> int:
    count = len(example.panels)
    height, width = example.panels[0].picture.shape[:2]
    most = MOST_IN_A_ROW if width < WIDE * height else MOST_IN_A_ROW // 2
    if count > MOST_IN_A_ROW:
        return -(-count // 2)
    return min(count, most)


def show_panel(panel: Panel) -> str:
    """Shows a picture with its caption."""
    remark = f"<small>{escape(panel.remark)}</small>" if panel.remark else ""
    caption = escape(panel.caption)
    return (
        f'<figure><img src="{_inline_png(panel.picture)}" alt="{caption}">'
        f"<figcaption>{caption}{remark}</figcaption></figure>"
    )


def _inline_png(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
