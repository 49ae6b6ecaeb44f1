"""The model in the box: a trained one that lies in the repository."""

from pathlib import Path

BOX = Path(__file__).resolve().parents[2] / "configs" / "nuclei" / "nuclei.safetensors"
"""Checkpoint that finds nuclei in images of microscopes."""
