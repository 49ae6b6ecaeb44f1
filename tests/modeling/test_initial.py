"""Initial weights, drawn or not."""

import torch
from torch import nn

from kmax_deeplab.modeling.initial import Undrawn
from kmax_deeplab.modeling.layers import ConvBN, make_norm
from kmax_deeplab.modeling.mask_predictor import MaskPredictor


def build() -> nn.Module:
    torch.manual_seed(0)
    norm = make_norm()
    predictor = MaskPredictor(4, 3, norm=norm, channels=8)
    return nn.ModuleList([predictor, ConvBN(4, 4, norm=norm), nn.Embedding(2, 3)])


def test_what_is_not_drawn_takes_no_random_number_and_keeps_what_is_constant():
    drawn = build()
    with Undrawn():
        filled = build()
        after = torch.random.get_rng_state()
    torch.manual_seed(0)
    assert torch.equal(after, torch.random.get_rng_state())
    assert torch.equal(filled[0].void_bias, drawn[0].void_bias)
    assert filled[0].pixel_space_mask_batch_norm.weight.item() == torch.tensor(0.1)
    filled.load_state_dict(drawn.state_dict())
    torch.testing.assert_close(filled.state_dict(), drawn.state_dict(), rtol=0, atol=0)
