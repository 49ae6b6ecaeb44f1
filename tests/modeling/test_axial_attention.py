"""Axial attention against its definition, written with loops."""

import pytest
import torch

from kmax_deeplab.modeling.axial_attention import (
    AxialAttention,
    AxialAttention1d,
    RelativePositions,
    relative_positions,
)
from kmax_deeplab.modeling.layers import make_norm

HEADS = 2


def _attend_slowly(layer: AxialAttention1d, x: torch.Tensor) -> torch.Tensor:
    """The definition for one sequence (C, L) at initial norm statistics (scale 1/sqrt(1.001))."""
    scale = 1.001**-0.5
    qkv = layer.qkv_transform.conv.weight[:, :, 0] @ x * scale
    query, key, value = (t.view(HEADS, -1, x.shape[1]) for t in qkv.split(layer.depths))
    out = torch.zeros(2, HEADS, value.shape[1], x.shape[1])
    for head in range(HEADS):
        for row in range(x.shape[1]):
            logits = torch.zeros(x.shape[1])
            for column in range(x.shape[1]):
                at = column - row + 254
                q, k = query[head, :, row], key[head, :, column]
                logits[column] = (
                    q @ k
                    + q @ layer.query_rpe.embeddings.weight[at]
                    + k @ layer.key_rpe.embeddings.weight[at]
                )
            weights = (logits * scale).softmax(0)
            for column, weight in enumerate(weights):
                at = column - row + 254
                out[0, head, :, row] += weight * value[head, :, column]
                out[1, head, :, row] += weight * layer.value_rpe.embeddings.weight[at]
    return (out * scale).sum(0).flatten(0, 1)


def test_it_equals_its_definition():
    torch.manual_seed(0)
    layer = AxialAttention1d(6, key_depth=4, value_depth=8, num_heads=HEADS, norm=make_norm())
    layer.eval()
    x = torch.randn(3, 6, 4, 5)
    with torch.no_grad():
        rows = [[_attend_slowly(layer, image[:, i]) for i in range(4)] for image in x]
        expected = torch.stack([torch.stack(image, 1) for image in rows])
        torch.testing.assert_close(layer(x, axis=3), expected)
        columns = layer(x.transpose(2, 3), axis=2).transpose(2, 3)
        torch.testing.assert_close(columns, expected)


def test_transposing_the_input_swaps_the_roles_of_the_axes():
    torch.manual_seed(0)
    attention = AxialAttention(16, norm=make_norm()).eval()
    alone = AxialAttention(16, norm=make_norm()).eval()
    alone.height_axis, alone.width_axis = attention.width_axis, attention.height_axis
    x = torch.randn(1, 16, 4, 1)
    with torch.no_grad():  # with one column, the width axis sees sequences of length one
        once = attention.height_axis(x, axis=2)
        rows = alone.width_axis(x.transpose(2, 3), axis=3)
        torch.testing.assert_close(rows.transpose(2, 3), once)
        torch.testing.assert_close(attention(x), attention.width_axis(once, axis=3))


def test_a_sequence_longer_than_the_table_is_refused():
    with pytest.raises(ValueError, match="255 positions, the feature has 256"):
        relative_positions([RelativePositions(4)], 256)


def test_several_tables_are_looked_up_at_once():
    tables = [RelativePositions(4), RelativePositions(6)]
    for found, table in zip(relative_positions(tables, 3), tables, strict=True):
        weight = table.embeddings.weight
        assert torch.equal(found[0, 2], weight[254 + 2])
        assert torch.equal(found[2, 0], weight[254 - 2])
