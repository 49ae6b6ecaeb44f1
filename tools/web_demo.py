"""A page to try a model on: upload an image, look at it in several ways, move thresholds, click.

    python tools/web_demo.py                                    # the model in the box: nuclei
    python tools/web_demo.py --weights output/model_final.pth   # any other
    python tools/web_demo.py --host 0.0.0.0 --port 8080         # for others in the network, too

It is for this machine only unless told otherwise, and nothing on the page comes from anywhere else;
`--share` makes Gradio tunnel it to the public internet. The network looks at an image once;
thresholds change what is made of that. It needs Gradio: pip install gradio, or ".[web]".
"""

import argparse
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from opening import add_model_options, open_predictor

from kmax_deeplab import command
from kmax_deeplab.predict.predictor import Predictor

MEGABYTES = 50
"""Most of an uploaded file."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    parser.add_argument("--tile", type=int, help="side of the windows in pixels; 0: whole images")
    parser.add_argument("--most-pixels", type=float, default=4, help="of an image, in millions")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: others may come, too")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="on the internet, by Gradio's servers")
    return parser.parse_args(arguments)


def serve(predict: Predictor, args: argparse.Namespace, folder: Path, *, wait: bool = True) -> str:
    """Serves the page, until interrupted if it is waited for; returns its address.

    Args:
        predict: who looks at the images.
        args: see `parse_args`.
        folder: for files that come and go.
        wait: whether to stay.

    Raises:
        ValueError: Gradio is not installed, or the port is in use.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        from web_looks import STYLE, theme
        from web_page import Page
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ValueError("tools/web_demo.py needs a package: pip install gradio") from error
    page = Page(predict, round(args.most_pixels * 1e6), folder)
    looks = {"css_paths": STYLE, "theme": theme(), "footer_links": [], "quiet": True}
    place = {"server_name": args.host, "server_port": args.port, "share": args.share}
    limit = f"{MEGABYTES}mb"
    try:
        _, address, public = page.blocks.launch(
            **looks, **place, max_file_size=limit, prevent_thread_lock=True
        )
    except OSError as error:
        raise ValueError(
            f"port {args.port or '7860 to 7959'} is in use: choose another --port"
        ) from error
    print(f"Open {public or address} in a browser. Ctrl-C ends it.", flush=True)
    if wait:
        page.blocks.block_thread()
    return address


def run(args: argparse.Namespace) -> None:
    """Opens the model and serves the page."""
    predict = open_predictor(args)[0]
    if args.tile is not None:
        predict.inputs = replace(predict.inputs, tile=args.tile)
    with tempfile.TemporaryDirectory(prefix="kmax-web-") as folder:
        serve(predict, args, Path(folder))


def main(arguments: list[str] | None = None) -> None:
    """Serves the page until interrupted."""
    args = parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command.run(lambda: run(args))


if __name__ == "__main__":
    main()
