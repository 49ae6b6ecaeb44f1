"""A video comes out painted, with as many frames of the same size and rate, or not at all."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from kmax_deeplab.predict.predictor import Predictor
from kmax_deeplab.predict.video import Video, choose_output, in_real_time, open_video, write_video
from kmax_deeplab.predict.video_frames import film
from tests.scripts import exit_status
from tests.tiny_model import tiny_command, tiny_model

COUNT, SIZE, RATE = 100, (48, 64), 23.976


def scene(count=COUNT, size=SIZE):
    """Frames with a bright square that moves."""
    for number in range(count):
        frame = np.full((*size, 3), 60, np.uint8)
        left = number % (size[1] - 20)
        frame[10:30, left : left + 20] = (200, 150, 40)
        yield frame


def save(path, *, count=COUNT, size=SIZE, codec="mp4v"):
    for _ in write_video(path, scene(count, size), RATE, codec):
        pass
    return path


def facts(path):
    """Frames, size and rate of a video, the frames counted by reading them."""
    with open_video(path) as video:
        frames = list(video.frames())
        return len(frames), frames[0].shape[:2], round(video.fps, 3)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """A video of a hundred frames."""
    return save(tmp_path_factory.mktemp("video") / "street.mp4")


@pytest.fixture
def predict(tmp_path):
    """A function that runs the command line and returns its exit status."""
    main = tiny_command(tmp_path / "tiny.pth")
    return lambda *words: exit_status(main, *words)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small frames are predicted no faster by two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_a_hundred_frames_come_out_as_many_as_large_and_as_fast(predict, street, tmp_path, capsys):
    assert facts(street) == (COUNT, SIZE, RATE)
    assert predict("--video-input", street, "--output", tmp_path, "--profile") == 0
    assert facts(tmp_path / "street.mp4") == (COUNT, SIZE, RATE)
    assert left_in(tmp_path) == ["street.mp4", "tiny.pth"]
    out = capsys.readouterr().out
    assert "100 frames, 23.976 a second" in out
    assert "network" in out


def test_the_output_may_be_a_file_of_another_kind(predict, tmp_path):
    short = save(tmp_path / "short.mp4", count=3)
    output = tmp_path / "out" / "painted.avi"
    words = ("--output", output, "--codec", "MJPG")
    assert predict("--video-input", short, *words) == 0
    assert facts(output) == (3, SIZE, RATE)


@pytest.mark.parametrize("damage", ["text", "begin", "middle"])
def test_a_damaged_video_is_named_and_leaves_nothing(damage, predict, street, tmp_path):
    content = {
        "text": b"no video",
        "begin": street.read_bytes()[: street.stat().st_size // 2],
        "middle": without_its_end(street),
    }[damage]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    said = predict("--video-input", broken, "--output", tmp_path / "out")
    assert str(broken) in said
    assert "damaged" in said
    assert not list((tmp_path / "out").rglob("*.*"))


def without_its_end(path):
    """Returns a video whose index is whole and names frames that are blank."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4 if data.index(b"moov") > start else len(data)
    data[(start + end) // 2 : end] = bytes(end - (start + end) // 2)
    return bytes(data)


def test_what_cannot_be_is_said(predict, street, tmp_path):
    assert "gone.mp4 does not exist" in predict("--video-input", tmp_path / "gone.mp4")
    for codec in ("x", "zzzz"):
        words = ("--output", tmp_path / "out", "--codec", codec)
        assert f"codec {codec}" in predict("--video-input", street, *words)
    assert "choose another --output" in predict("--video-input", street, "--output", street)
    assert "camera 77 cannot be opened" in predict("--webcam", 77, "--output", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*"))


def test_odd_sizes_are_made_even(tmp_path):
    path = save(tmp_path / "odd.mp4", count=2, size=(33, 51))
    assert facts(path)[:2] == (2, (34, 52))


def test_frames_of_another_size_are_refused():
    frames = [np.zeros((4, 6, 3), np.uint8), np.zeros((4, 8, 3), np.uint8)]
    capture = SimpleNamespace(read=lambda: (True, frames.pop(0)))
    with pytest.raises(ValueError, match="frame 2 of x is 8 × 4 pixels, those before 6 × 4"):
        list(Video("x", capture, 25.0, 2).frames())


def test_what_a_camera_saw_until_it_was_ended_is_kept(street, tmp_path, monkeypatch):
    clock = iter(np.arange(0, 10, 0.1))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    capture, seen = cv2.VideoCapture(str(street)), []
    video = Video("camera 0", capture, 20.0, None, is_live=True)
    predict = Predictor(tiny_model())
    output = tmp_path / "camera.mp4"
    ended = iter([False] * 5 + [True])
    words = {"is_ended": lambda: next(ended)}
    seen = list(film(predict, video, output, predict.categories, **words))
    capture.release()
    assert facts(output)[0] == len(seen) == 10  # twice each: ten a second were painted


def test_a_slow_camera_does_not_become_a_fast_video(monkeypatch):
    clock = iter([0.0, 0.1, 0.5, 0.6])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    assert list(in_real_time("abc", 10.0)) == ["a", "b", "b", "b", "b", "c"]


def test_a_video_goes_into_a_folder_or_is_the_file(tmp_path):
    assert choose_output(tmp_path, "a/street.avi") == tmp_path / "street.mp4"
    assert choose_output(tmp_path / "x.AVI", "street.avi") == tmp_path / "x.AVI"
