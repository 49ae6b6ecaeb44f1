"""Every test of the losses starts from the same random state."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed() -> None:
    """Seeds PyTorch's global generator."""
    torch.manual_seed(0)
