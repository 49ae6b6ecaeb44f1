"""The revision of the code is told where there is one."""

import subprocess

from kmax_deeplab.revision import UNKNOWN, find_revision


def test_without_git_the_revision_is_unknown(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert find_revision() == UNKNOWN


def test_the_revision_is_one_word():
    assert len(find_revision().split()) == 1
