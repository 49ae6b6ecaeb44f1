"""Which version of this code runs: the git revision of the folder that it lies in leaves."""

import subprocess
from pathlib import Path

UNKNOWN = "unknown"
PATIENCE = 10.0
"""Seconds that git has."""


def find_revision() -> str:
    """Returns the git revision of this code, "+" where files were changed, or UNKNOWN."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():  # installed, perhaps below somebody else's repository
        return UNKNOWN
    git = ["git", "-C", str(root)]
    words = ["describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        told = subprocess.run([*git, *words], capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    return told.stdout.strip() or UNKNOWN
