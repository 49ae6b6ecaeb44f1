"""Position-sensitive axial attention (arXiv 2003.07853): a feature map in, a feature map out.

Each column attends within itself, then each row. All three logits and both retrieved values have a
batch norm of their own, which replaces the usual 1/sqrt(d).
"""

import torch
from timm.layers import trunc_normal_tf_
from torch import Tensor, nn

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
        trunc_normal_tf_(self.embeddings.weight, std=1.0)

    def forward(self, length: int) -> Tensor:
        """Returns (L, L, depth) for a sequence of `length` positions.

        Raises:
            ValueError: the sequence is longer than the table of embeddings.
        """
        if length > MAX_SPAN:
            raise ValueError(
                f"axial attention spans {MAX_SPAN} positions, the feature has {length}"
            )
        position = torch.arange(length, device=self.embeddings.weight.device)
        return self.embeddings(position[None, :] - position[:, None] + MAX_SPAN - 1)


class AxialAttention1d(nn.Module):
    """Self-attention within sequences.

    Args:
        in_channels: of the sequence.
        key_depth: channels of all keys together.
        value_depth: channels of all values together, and of the output.
        num_heads: attention heads.
        norm: maker of the norms.
    """

    def __init__(
        self, in_channels: int, *, key_depth: int, value_depth: int, num_heads: int, norm: Norm
    ):
        super().__init__()
        self.depths = [key_depth, key_depth, value_depth]
        self.num_heads = num_heads
        self.qkv_transform = ConvBN(in_channels, sum(self.depths), norm=None, sequence=True)
        init_conv(self.qkv_transform.conv, std=in_channels**-0.5)
        self.query_rpe = RelativePositions(key_depth // num_heads)
        self.key_rpe = RelativePositions(key_depth // num_heads)
        self.value_rpe = RelativePositions(value_depth // num_heads)
        self.batch_norm_qkv = norm(sum(self.depths))
        self.batch_norm_similarity = norm(3 * num_heads)
        self.batch_norm_retrieved_output = norm(2 * value_depth)

    def forward(self, x: Tensor) -> Tensor:
        """Attends within each of N sequences, (N, C, L) to (N, value_depth, L)."""
        length = int(x.shape[-1])
        qkv = self.batch_norm_qkv(self.qkv_transform(x))
        heads = (self.num_heads, -1)
        query, key, value = (t.unflatten(1, heads) for t in qkv.split(self.depths, dim=1))
        weights = self._attention_weights(query, key)  # (N, heads, L, L)
        content = torch.einsum("nhlm,nhdm->nhdl", weights, value)
        position = torch.einsum("nhlm,lmd->nhdl", weights, self.value_rpe(length))
        retrieved = torch.cat([content.flatten(1, 2), position.flatten(1, 2)], dim=1)
        return self.batch_norm_retrieved_output(retrieved).unflatten(1, (2, -1)).sum(1)

    def _attention_weights(self, query: Tensor, key: Tensor) -> Tensor:
        length = int(query.shape[-1])
        content = torch.einsum("nhdl,nhdm->nhlm", query, key)
        query_position = torch.einsum("nhdl,lmd->nhlm", query, self.query_rpe(length))
        key_position = torch.einsum("nhdm,lmd->nhlm", key, self.key_rpe(length))
        logits = torch.cat([content, query_position, key_position], dim=1)  # (N, 3 heads, L, L)
        logits = self.batch_norm_similarity(logits).unflatten(1, (3, -1)).sum(1)
        return logits.float().softmax(-1).to(query.dtype)


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
        x = _attend_rows(self.height_axis, x.transpose(2, 3)).transpose(2, 3)
        x = _attend_rows(self.width_axis, x[:, :, :: self.stride])
        return x[..., :: self.stride]


def _attend_rows(attention: AxialAttention1d, x: Tensor) -> Tensor:
    """Treats every row of (B, C, H, W) as a sequence of its own."""
    batch = x.shape[0]
    rows = x.permute(0, 2, 1, 3).flatten(0, 1)  # (B * H, C, W)
    return attention(rows).unflatten(0, (batch, -1)).permute(0, 2, 1, 3)
