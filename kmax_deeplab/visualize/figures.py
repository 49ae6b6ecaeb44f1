"""Pictures in a page: captioned panels enter, HTML leaves."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from kmax_deeplab.visualize.examples import Example, Panel


def show_example(example: Example) -> str:
    """Shows an image with its panels, and its k-means layers below."""
    panels = "".join(map(show_panel, example.panels))
    layers = "".join(map(show_panel, example.layers))
    below = f'<div class="layers">{layers}</div>' if layers else ""
    return (
        f'<article><h3>{escape(example.name)}</h3><div class="panels">{panels}</div>'
        f"{below}</article>"
    )


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
