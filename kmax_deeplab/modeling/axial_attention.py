"""Position-sensitive axial attention (arXiv 2003.07853): a feature map in, a feature map out.

Each column attends within itself, then each row. All three logits and both retrieved values have a
batch norm of their own, which replaces the usual 1/sqrt(d).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.initial import draw_normal
from kmax_deeplab.modeling.layers import ConvBN, Norm, init_conv

MAX_SPAN = 255
"""Longest sequence whose relative positions have an embedding; fixed, so weights fit any size."""


class RelativePositions(nn.Module):
    """Learned embeddings r(l, m) of the distance m - l, shared by all heads.

    Args:
        depth: channels of an embedding.
    """

    def __init__(self, depth: int):
        super().__init__()
        self.embeddings = nn.Embedding(2 * MAX_SPAN - 1, depth)
        draw_normal(self.embeddings.weight, std=1.0)


def relative_positions(tables: Sequence[RelativePositions], length: int) -> list[Tensor]:
    """Looks several tables of embeddings up at once, (L, L, depth) each, for L positions.

    Raises:
        ValueError: the sequence is longer than the tables.
    """
    if length > MAX_SPAN:
        raise ValueError(f"axial attention spans {MAX_SPAN} positions, the feature has {length}")
    weights = [table.embeddings.weight for table in tables]
    position = torch.arange(length, device=weights[0].device)
    distance = position[None, :] - position[:, None] + MAX_SPAN - 1
    found = F.embedding(distance, torch.cat(weights, dim=1))
    return list(found.split([weight.shape[1] for weight in weights], dim=2))


class AxialAttention1d(nn.Module):
    """Self-attention along one axis of a feature map: its rows or columns are sequences.

    Args:
        in_channels: of the map.
        key_depth: channels of all keys together.
        value_depth: channels of all values together, and of the output.
        num_heads: attention heads.
        norm: maker of the norms.
    """

    foldable = (("qkv_transform.conv", "batch_norm_qkv"),)

    def __init__(
        self, in_channels: int, *, key_depth: int, value_depth: int, num_heads: int, norm: Norm
    ):
        super().__init__()
        self.depths = [key_depth, key_depth, value_depth]
        self.num_heads = num_heads
        self.qkv_transform = ConvBN(in_channels, sum(self.depths), norm=None, kind=nn.Conv1d)
        init_conv(self.qkv_transform.conv, std=in_channels**-0.5)
        self.query_rpe = RelativePositions(key_depth // num_heads)
        self.key_rpe = RelativePositions(key_depth // num_heads)
        self.value_rpe = RelativePositions(value_depth // num_heads)
        self.batch_norm_qkv = norm(sum(self.depths))
        self.batch_norm_similarity = norm(3 * num_heads)
        self.batch_norm_retrieved_output = norm(2 * value_depth)

    def forward(self, x: Tensor, axis: int) -> Tensor:
        """Attends along an axis, (B, C, H, W) to (B, value_depth, H, W).

        Args:
            x: the map.
            axis: 2, within columns, or 3, within rows.
        """
        conv = self.qkv_transform.conv  # of a sequence, in the checkpoints
        qkv = F.conv2d(x, conv.weight[..., None], conv.bias)
        qkv = self.batch_norm_qkv(qkv).permute(0, 2, 3, 1)  # (B, H, W, C)
        query, key, value = (self._sequences(t, axis) for t in qkv.split(self.depths, dim=3))
        length = int(query.shape[3])
        tables = relative_positions((self.query_rpe, self.key_rpe, self.value_rpe), length)
        by_query, by_key, of_value = tables
        weights = self._attention_weights(query, key, by_query, by_key)  # (B, heads, S, L, L)
        content = weights @ value
        position = torch.einsum("bhslm,lmd->bhsld", weights, of_value)
        return self.batch_norm_retrieved_output.sum_of(
            [_join_heads(retrieved, axis) for retrieved in (content, position)]
        )

    def _sequences(self, x: Tensor, axis: int) -> Tensor:
        """Turns (B, H, W, C) into S sequences of length L along an axis: (B, heads, S, L, d)."""
        heads = x.unflatten(3, (self.num_heads, -1))
        return heads.permute(0, 3, 1, 2, 4) if axis == 3 else heads.permute(0, 3, 2, 1, 4)

    def _attention_weights(
        self, query: Tensor, key: Tensor, by_query: Tensor, by_key: Tensor
    ) -> Tensor:
        content = query @ key.transpose(3, 4)
        query_position = torch.einsum("bhsld,lmd->bhslm", query, by_query)
        key_position = torch.einsum("bhsmd,lmd->bhslm", key, by_key)
        logits = self.batch_norm_similarity.sum_of([content, query_position, key_position])
        return logits.float().softmax(-1).to(query.dtype)


def _join_heads(x: Tensor, axis: int) -> Tensor:
    """Turns sequences along an axis, (B, heads, S, L, d), into a channels-last (B, C, H, W)."""
    rows = x.permute(0, 2, 3, 1, 4) if axis == 3 else x.permute(0, 3, 2, 1, 4)
    return rows.flatten(3).permute(0, 3, 1, 2)


class AxialAttention(nn.Module):
    """Height-axis, then width-axis attention.

    Args:
        channels: of input and output.
        norm: maker of the norms.
        num_heads: attention heads of each axis.
        stride: every how many rows, then columns, are kept after attention along them.
    """

    def __init__(self, channels: int, *, norm: Norm, num_heads: int = 8, stride: int = 1):
        super().__init__()
        self.stride = stride
        settings = {
            "key_depth": channels // 2,
            "value_depth": channels,
            "num_heads": num_heads,
            "norm": norm,
        }
        self.height_axis = AxialAttention1d(channels, **settings)
        self.width_axis = AxialAttention1d(channels, **settings)

    def forward(self, x: Tensor) -> Tensor:
        """Attends along both axes of (B, C, H, W), to (B, C, H / stride, W / stride)."""
        x = self.height_axis(x, axis=2)[:, :, :: self.stride]
        return self.width_axis(x, axis=3)[..., :: self.stride]
