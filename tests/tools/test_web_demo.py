"""The page, in a real browser (Chromium, driven by Playwright) where Gradio and both are there."""

import io
import json
import re
import shutil
import socket
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmax_deeplab.predict import session
from kmax_deeplab.predict.box import BOX
from kmax_deeplab.predict.predictor import Predictor
from tests.scripts import ROOT, exit_status, load_script
from tests.tiny_model import tiny_model

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WORDS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PATIENCE = 30_000
"""Milliseconds."""

# Gradio's and pandas' own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

demo = load_script("tools/web_demo.py")


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a page for a tiny model that looks at whole images of at most 0.01 million pixels."""
    gradio = pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("served")
    args = demo.parse_args(["--most-pixels", "0.01", "--port", str(free_port())])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        patch.setattr(session, "SHOWN_SIDE", 400)
        for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
            patch.setenv(name, "")
        yield demo.serve(Predictor(tiny_model()), args, folder, wait=False)
        gradio.close_all()
    sys.modules.pop("web_page", None)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=WORDS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """A function that visits the page as another person would."""
    contexts = []

    def visit():
        contexts.append(browser.new_context(viewport={"width": 1400, "height": 900}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture
def photo(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (7, 10, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((80, 56)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def found(photo):
    """What there is to see in it."""
    return Predictor(tiny_model())(photo)


def upload(page, path):
    page.set_input_files("#file input[type=file]", str(path))


def require_text(page, place, pattern):
    page.locator(place, has_text=re.compile(pattern)).wait_for()


def picture(page):
    return page.locator("#picture img").get_attribute("src")


def change(page, act):
    """Does something that changes the picture."""
    before = picture(page)
    act()
    page.wait_for_function("src => document.querySelector('#picture img')?.src != src", arg=before)
    assert picture(page) != before


def begin(page, path):
    upload(page, path)
    require_text(page, "#said", "Click the picture")


def center(page, found, segment):
    """Where on the page a pixel of a segment is: (x, y) on the element of the picture."""
    box = page.locator("#picture img").bounding_box()
    height, width = found.panoptic.shape
    scale = min(box["width"] / width, box["height"] / height)
    rows, columns = np.nonzero(found.panoptic == segment.id)
    middle = len(rows) // 2
    left = (box["width"] - scale * width) / 2
    top = (box["height"] - scale * height) / 2
    return {"x": left + scale * (columns[middle] + 0.5), "y": top + scale * (rows[middle] + 0.5)}


@pytest.mark.slow
def test_an_image_is_segmented_thresholds_change_it_and_a_click_names_a_segment(
    open_page, photo, found
):
    page = open_page()
    begin(page, photo)
    require_text(page, "#said", r"photo\.png, 80 × 56 pixels: ")
    for segment in found.segments[:3]:
        page.locator("#picture img").click(position=center(page, found, segment))
        said = rf"{segment.name}.*score {segment.score:.2f}, {segment.area:,} pixels .* id "
        require_text(page, "#said .strong", f"{said}{segment.id}$")
    change(page, lambda: page.locator("#objects input[type=range]").fill("1"))
    require_text(page, "#said", "Click the picture")
    change(page, lambda: page.locator("#areas input[type=range]").fill("1"))
    require_text(page, "#said", "nothing found")
    page.locator("#picture img").click()
    require_text(page, "#said .strong", "No segment is sure enough here")
    hosts = {url.split("/")[2].split(":")[0] for url in page.asked if url.startswith("http")}
    assert hosts == {"127.0.0.1"}


@pytest.mark.slow
def test_every_view_and_every_layer_s_clusters_are_pictures(open_page, photo):
    page = open_page()
    begin(page, photo)
    for view in ("Classes", "Objects", "Photo", "Clusters"):
        change(page, page.get_by_label(view, exact=True).check)
    layer = page.locator("#layer input[type=range]")
    assert layer.get_attribute("max") == "3"
    change(page, lambda: layer.fill("1"))


@pytest.mark.slow
def test_a_row_of_the_table_names_a_segment_and_what_is_downloaded_is_what_is_seen(
    open_page, photo, found
):
    page = open_page()
    begin(page, photo)
    page.locator("#table [role=gridcell]").nth(1).click()
    require_text(page, "#said .strong", rf"{found.segments[0].name}.* id 1$")
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "photo.zip"
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    (annotation,) = json.loads(archive.read("photo.json"))["annotations"]
    assert annotation == found.to_coco() | {"image_id": "photo.png"}


@pytest.mark.slow
def test_a_bad_file_gives_a_message_and_a_good_one_is_taken_then(open_page, photo):
    page = open_page()
    page.locator("#objects input[type=range]").fill("0.5")  # before there is an image
    begin(page, photo)
    bad = {
        "notes.txt": (b"no image", r"notes\.txt cannot be read \(no image of a known format\)"),
        "half.png": (photo.read_bytes()[:200], r"half\.png cannot be read"),
        "deep.png": (Image.new("I;16", (9, 9)), r"deep\.png has mode I;16: bring it to 8 bits"),
        "large.png": (Image.new("L", (101, 101)), r"large\.png has 101 × 101 pixels"),
    }
    for name, (content, message) in bad.items():
        path = photo.with_name(name)
        path.write_bytes(content) if isinstance(content, bytes) else content.save(path)
        upload(page, path)
        require_text(page, "#message [role=alert]", message)
        assert page.locator("#picture img").count() == 0
    begin(page, photo)
    page.locator("#message").wait_for(state="hidden")


@pytest.mark.slow
def test_two_people_do_not_see_each_other_s_images(open_page, photo):
    other = photo.with_name("other.png")
    Image.new("RGB", (40, 40), "white").save(other)
    first, second = open_page(), open_page()
    begin(first, photo)
    begin(second, other)
    first.locator("#overlap input[type=range]").fill("0.2")
    first.locator("#picture img").click()
    require_text(first, "#said", r"photo\.png")


@pytest.mark.slow
def test_the_webcam_s_picture_is_looked_at(open_page):
    page = open_page()
    page.get_by_role("tab", name="Webcam").click()
    page.locator("#camera").get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#camera video')?.currentTime > 0")
    page.locator("#camera").get_by_label("capture photo").click()
    require_text(page, "#message [role=alert]", r"image\.\w+ has \d+ × \d+ pixels")


def test_it_starts_with_the_model_in_the_box_for_this_machine_only():
    args = demo.parse_args([])
    assert (args.host, args.share) == ("127.0.0.1", False)
    predict, categories, weights = demo.open_predictor(args)
    assert (weights, predict.inputs.tile) == (str(BOX), 128)
    assert categories.names == ("nucleus", "background")
    with pytest.raises(FileNotFoundError, match=r"some\.yaml"):
        demo.open_predictor(demo.parse_args(["--config-file", "some.yaml"]))


def test_without_gradio_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "web_page", raising=False)
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    with pytest.raises(ValueError, match="pip install gradio"):
        demo.serve(None, demo.parse_args([]), tmp_path)


@pytest.mark.slow
def test_a_port_that_is_in_use_is_said(address, tmp_path):
    port = address.strip("/").rsplit(":", 1)[1]
    args = demo.parse_args(["--port", port])
    with pytest.raises(ValueError, match=rf"port {port} is in use: choose another --port"):
        demo.serve(Predictor(tiny_model()), args, tmp_path, wait=False)


def test_a_missing_checkpoint_is_said_in_one_sentence(tmp_path):
    said = exit_status(demo.main, "--weights", tmp_path / "gone.pth")
    assert said == f"checkpoint '{tmp_path / 'gone.pth'}' does not exist"
