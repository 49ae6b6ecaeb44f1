"""The page of tools/web_demo.py, made with Gradio: a predictor enters, a page to be served leaves.

What people do on it is answered by `kmax_deeplab.predict.session`; here is only who asks for what.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from web_looks import ABOUT_VIEWS, ASK, EMPTY, SAVE, few, introduce, message, paragraphs, slider

from kmax_deeplab import command
from kmax_deeplab.data.samples.reading import UnreadableImageError
from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.session import CLUSTERS, SEGMENTS, VIEWS, Visit, visit
from kmax_deeplab.predict.visits import Visits
from kmax_deeplab.predict.words import describe, summary, table
from kmax_deeplab.structures import MergeThresholds

HEADERS = ["Id", "Segment", "Score", "Pixels"]
OLD = (600, 3600)
"""Seconds between two looks for old files on the server, and how old these are then."""
LEAST_PIXEL = 0.1
"""Least pixel confidence that can be chosen: lower, a pixel may have more than ten owners, and the
memory for them grows without use."""
CHANGED = ("thing", "stuff", "pixel", "overlap")
"""Thresholds that have a slider, in their order."""


@dataclass(frozen=True)
class Controls:
    """What is set on the page.

    Attributes:
        chosen: id of the segment that was clicked, 0: none; None: there is no image yet.
        view: one of `VIEWS`.
        layer: index of the k-means layer whose clusters are seen.
        merge: the thresholds.
    """

    chosen: int | None
    view: str
    layer: int
    merge: MergeThresholds


class Page:
    """The page, and what it answers.

    Args:
        predict: who looks at the images.
        most_pixels: that an image may have.
        folder: for files that are downloaded.

    Attributes:
        visits: the images of those who look at the page.
        blocks: the page.
    """

    def __init__(self, predict: Predictor, most_pixels: int, folder: Path) -> None:
        self.predict, self.most_pixels, self.folder = predict, most_pixels, folder
        self.visits = Visits()
        words = {"title": "kMaX-DeepLab", "analytics_enabled": False, "delete_cache": OLD}
        with gr.Blocks(**words) as self.blocks:
            gr.HTML(introduce(predict.categories.names), padding=False)
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=320):
                    self._build_input()
                with gr.Column(scale=7, min_width=340):
                    self._build_output()
            self._connect()

    def _build_input(self) -> None:
        with gr.Tab("File"):
            limit = f"Image, at most {self.most_pixels / 1e6:g} million pixels"
            self.file = gr.File(label=limit, height=150, elem_id="file")
        with gr.Tab("Webcam"):
            camera = {"sources": ["webcam"], "type": "filepath", "height": 240}
            self.camera = gr.Image(**camera, label="Webcam", buttons=[], elem_id="camera")
        self.message = gr.HTML(elem_id="message", padding=False, visible=False)
        views = {"choices": list(VIEWS[:-1]), "value": SEGMENTS, "info": ABOUT_VIEWS}
        self.view = gr.Radio(**views, label="View", elem_id="view")
        self.layer = gr.Slider(
            *(1, 2, 1), step=1, visible=False, label="k-means layer", elem_id="layer"
        )
        merge, names = self.predict.model.merge, self.predict.categories
        stuff = [n for n, t in zip(names.names, names.is_thing, strict=True) if not t]
        with gr.Group():
            self.sliders = [
                slider("Objects", merge.thing, "Least certainty of an object’s class"),
                slider("Areas", merge.stuff, f"The same for {few(stuff)}", visible=bool(stuff)),
                slider("Pixels", merge.pixel, "Least certainty that a pixel belongs", LEAST_PIXEL),
                slider("Overlap", merge.overlap, "Least share of it that is still free"),
            ]

    def _build_output(self) -> None:
        self.said = gr.HTML(paragraphs(EMPTY), elem_id="said", padding=False)
        picture = {"type": "numpy", "format": "png", "interactive": False, "show_label": False}
        self.picture = gr.Image(**picture, buttons=["fullscreen"], elem_id="picture")
        with gr.Column(visible=False) as self.results:
            self.table = gr.Dataframe(
                headers=HEADERS,
                datatype=["number", "str", "number", "number"],
                **{"interactive": False, "max_height": 320, "show_label": False},
                **{"buttons": [], "elem_id": "table"},
            )
            self.save_button = gr.Button("Download PNG, JSON and picture", elem_id="save")
        self.zip = gr.DownloadButton(visible="hidden", elem_id="zip")
        self.chosen = gr.State(None)

    def _connect(self) -> None:
        shown = [self.chosen, self.view, self.layer, *self.sliders]
        everything = [self.message, self.view, self.layer, self.picture, self.said, self.results]
        everything += [self.table, self.chosen, self.file]
        told = {"concurrency_id": "model", "api_visibility": "private"}
        live = {**told, "trigger_mode": "always_last", "show_progress": "hidden"}
        begin = {"outputs": everything, "show_progress_on": self.picture, **told}
        self.file.upload(self.look, [self.file, *shown], **begin)
        self.camera.input(self.look, [self.camera, *shown], **begin)
        decided = [self.message, self.picture, self.said, self.table, self.chosen]
        for control in self.sliders:
            control.change(self.decide, shown, decided, **live)
        drawn = [self.message, self.layer, self.picture]
        for control in (self.view, self.layer):
            control.input(self.draw, shown, drawn, **live)
        pointed = [self.message, self.picture, self.said, self.chosen]
        self.picture.select(self.click, shown, pointed, **live)
        self.table.select(self.take_row, shown, pointed, **live)
        saved = self.save_button.click(self.save, shown, [self.message, self.zip], **told)
        saved.success(None, self.zip, js=SAVE, api_visibility="private")
        self.blocks.unload(self.leave)

    def look(
        self,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  where Gradio finds it
        *given: Any,
    ) -> dict:
        """Looks at an image that was given."""
        path, controls = given[0], self._read(given[1:])
        if path is None:
            return {self.message: message("")}

        def tell(done: int, of: int) -> None:
            progress((done, of), desc="The model looks", unit="windows")

        def work() -> dict:
            seen = visit(self.predict, path, self.most_pixels, tell)
            self.visits.keep(request.session_hash, seen)
            return self._begun(seen, controls)

        self.visits.forget(request.session_hash)
        nothing = {self.picture: None, self.said: paragraphs(EMPTY), self.chosen: None}
        nothing[self.results] = gr.update(visible=False)
        return {self.file: None, **self._answer(work, Path(path).name, nothing)}

    def decide(self, request: gr.Request, *given: Any) -> dict:
        """Decides with other thresholds."""
        return self._with_visit(request, given, self._decided)

    def draw(self, request: gr.Request, *given: Any) -> dict:
        """Draws another view."""
        return self._with_visit(
            request,
            given,
            lambda seen, c: {
                self.layer: gr.update(visible=c.view == CLUSTERS),
                self.picture: seen.draw(c.view, c.merge, c.chosen or 0, c.layer),
            },
        )

    def click(self, request: gr.Request, event: gr.SelectData, *given: Any) -> dict:
        """Says what is at a place of the picture."""
        return self._with_visit(
            request,
            given,
            lambda seen, c: self._pointed(seen, c, seen.choose(c.merge, *event.index)),
        )

    def take_row(self, request: gr.Request, event: gr.SelectData, *given: Any) -> dict:
        """Says what a row of the table is."""
        chosen = int(event.row_value[0])
        return self._with_visit(request, given, lambda seen, c: self._pointed(seen, c, chosen))

    def save(self, request: gr.Request, *given: Any) -> dict:
        """Writes what is downloaded."""
        folder = self.folder / request.session_hash
        return self._with_visit(
            request, given, lambda seen, c: {self.zip: str(seen.save(c.merge, folder))}
        )

    def leave(self, request: gr.Request) -> None:
        """Forgets the image and the files of someone who closed the page."""
        self.visits.forget(request.session_hash)
        shutil.rmtree(self.folder / request.session_hash, ignore_errors=True)

    def _read(self, given: tuple) -> Controls:
        chosen, view, layer, *thresholds = given
        merge = replace(self.predict.model.merge, **dict(zip(CHANGED, thresholds, strict=True)))
        return Controls(chosen, view, int(layer) - 1, merge)

    def _begun(self, seen: Visit, controls: Controls) -> dict:
        view = controls.view if controls.view in seen.views else SEGMENTS
        layers = max(seen.layers, 2)
        return {
            self.view: gr.update(choices=seen.views, value=view),
            self.layer: gr.update(maximum=layers, value=layers, visible=view == CLUSTERS),
            self.results: gr.update(visible=True),
            **self._decided(seen, replace(controls, view=view, layer=layers - 1)),
        }

    def _decided(self, seen: Visit, controls: Controls) -> dict:
        found = seen.decide(controls.merge)
        return {
            self.picture: seen.draw(controls.view, controls.merge, layer=controls.layer),
            self.said: paragraphs(summary(found), ASK),
            self.table: table(found),
            self.chosen: 0,
        }

    def _pointed(self, seen: Visit, controls: Controls, chosen: int) -> dict:
        found = seen.decide(controls.merge)
        return {
            self.picture: seen.draw(controls.view, controls.merge, chosen, controls.layer),
            self.said: paragraphs(summary(found), strong=describe(found, chosen)),
            self.chosen: chosen,
        }

    def _with_visit(
        self, request: gr.Request, given: tuple, work: Callable[[Visit, Controls], dict]
    ) -> dict:
        controls = self._read(given)
        if controls.chosen is None:
            return {self.message: message("")}  # nothing was looked at yet
        return self._answer(lambda: work(self.visits.get(request.session_hash), controls))

    def _answer(
        self, work: Callable[[], dict], name: str = "", otherwise: dict | None = None
    ) -> dict:
        """Does some work; what this project refuses is said on the page."""
        try:
            return {self.message: message(""), **work()}
        except UnreadableImageError as error:
            said = f"{name} {error.strerror}."
        except Exception as error:
            if not command.is_refusal(error):
                raise
            said = command.describe(error)
        return {self.message: message(said), **(otherwise or {})}
