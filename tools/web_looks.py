"""How the page of tools/web_demo.py looks: words enter, pieces of it leave."""

import html
from pathlib import Path

import gradio as gr

STYLE = Path(__file__).with_name("web_page.css")
FONTS = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
"""Of the reader's own machine: the page needs no other."""
MOST_NAMES = 8
"""Classes that are named in the first sentence."""
ABOUT_VIEWS = "Each pixel has one segment; objects may overlap"
EMPTY = "The picture appears here."
ASK = "Click the picture, or a row below it, to learn what a segment is."
SAVE = """(file) => {
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""
"""Takes the file that was just written, which the hidden button holds by now."""


def introduce(names: tuple[str, ...]) -> str:
    """Returns title and first sentence."""
    return (
        "<h1>kMaX-DeepLab</h1><p>Give it an image, and it outlines what it knows: "
        f"{html.escape(few(names))}.</p>"
    )


def few(names: list[str] | tuple[str, ...]) -> str:
    """Lists the first names, and says how many more there are."""
    shown = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"{shown} and {more} classes more" if more > 0 else shown


def slider(
    name: str, value: float, about: str, least: float = 0.0, *, visible: bool = True
) -> gr.Slider:
    """Makes the slider of a threshold in [0, 1]."""
    words = {"label": name, "info": about, "elem_id": name.lower(), "visible": visible}
    return gr.Slider(min(least, value), 1, value, step=0.01, **words)


def message(text: str) -> dict:
    """Shows what went wrong; empty: hides it."""
    return gr.update(value=f'<p role="alert">{html.escape(text)}</p>', visible=bool(text))


def paragraphs(*texts: str, strong: str = "") -> str:
    """Turns plain texts into HTML; the last one may stand out."""
    last = f"<p class=strong>{html.escape(strong)}</p>" if strong else ""
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts) + last


def theme() -> gr.themes.Base:
    """Returns how the page is drawn, with fonts that are there already."""
    words = {"font": FONTS, "font_mono": ("ui-monospace", "monospace")}
    base = gr.themes.Base(primary_hue="blue", neutral_hue="slate", **words)
    return base.set(body_text_color_subdued="*neutral_500")
