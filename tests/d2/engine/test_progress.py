import io
from types import SimpleNamespace

import pytest

from kmax_deeplab.d2.engine.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(stream, iterations, start=0):
    hook = ProgressLine(stream)
    history = SimpleNamespace(median=lambda window: 4.25)
    storage = SimpleNamespace(history=lambda name: history)
    hook.trainer = SimpleNamespace(start_iter=start, max_iter=iterations, iter=0, storage=storage)
    hook.before_train()
    for hook.trainer.iter in range(start, iterations):
        hook.after_step()
    return stream.getvalue()


def test_a_terminal_gets_one_line_that_is_rewritten():
    written = train(Terminal(), 5)
    assert written.startswith("\x1b[K") and "\r\x1b[K" in written
    assert written.count("\n") == 1


def test_a_file_gets_whole_lines():
    lines = train(io.StringIO(), 5).splitlines()
    assert lines[-1].split() == ["iteration", "5/5", "loss", "4.250", "0:00", "min", "left"]


@pytest.mark.parametrize("start", [0, 3])
def test_the_last_iteration_is_always_shown(start):
    assert "5/5" in train(Terminal(), 5, start)
