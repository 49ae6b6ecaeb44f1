"""k-means transformer decoder: pixel features in, a `Prediction` per layer and a final one out.

Cross-attention is k-means clustering (paper section 3.2, equation 6): every pixel is assigned to
the cluster whose mask logit is largest, and every centre is updated with the sum of its pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.drop_path import DropPath
from kmax_deeplab.modeling.initial import draw_normal
from kmax_deeplab.modeling.layers import (
    ConvBN,
    Norm,
    init_conv,
    without_autocast,
    zero_init,
)
from kmax_deeplab.modeling.mask_predictor import MaskPredictor
from kmax_deeplab.modeling.recomputation import Recomputing
from kmax_deeplab.structures import Prediction

CHANNELS = 256
"""Channels of a cluster centre."""


def sum_pixels_of_clusters(assignment: Tensor, values: Tensor, num_clusters: int) -> Tensor:
    """Adds up the values of the pixels of every cluster, in float32: the k-means update.

    Args:
        assignment: (B, H, W) int64, the cluster of each pixel.
        values: (B, C, H, W).
        num_clusters: Q.

    Returns:
        (B, C, Q) float32; 0 for a cluster without pixels.
    """
    add_up = _add_by_scattering if values.is_cpu else _add_by_product
    return add_up(assignment.flatten(1), values.flatten(2).float(), num_clusters)


def _add_by_scattering(assignment: Tensor, values: Tensor, num_clusters: int) -> Tensor:
    """Adds (B, C, P) values by (B, P) clusters; three times as fast as the product on a CPU."""
    sums = values.new_zeros((*values.shape[:2], num_clusters))
    return sums.scatter_add(2, assignment[:, None].expand_as(values), values)


def _add_by_product(assignment: Tensor, values: Tensor, num_clusters: int) -> Tensor:
    """Multiplies with the one-hot assignment: always in one order, and no float16 in between."""
    clusters = torch.arange(num_clusters, device=values.device)
    one_hot = (assignment[..., None] == clusters).to(values.dtype)  # (B, P, Q)
    with without_autocast(values):
        return values @ one_hot


class QuerySelfAttention(nn.Module):
    """Multi-head attention among the clusters, with batch norm instead of a scale.

    Args:
        key_depth: channels of all queries, resp. keys, together.
        value_depth: channels of all values together.
        norm: maker of the norms.
        num_heads: attention heads.
    """

    def __init__(self, *, key_depth: int, value_depth: int, norm: Norm, num_heads: int = 8):
        super().__init__()
        self.depths = [key_depth, key_depth, value_depth]
        self.num_heads = num_heads
        self.batch_norm_similarity = norm(num_heads)
        self.batch_norm_retrieved_value = norm(value_depth)

    def forward(self, qkv: Tensor) -> Tensor:
        """Mixes clusters, (B, 2 key_depth + value_depth, Q) to (B, value_depth, Q)."""
        heads = (self.num_heads, -1)
        query, key, value = (t.unflatten(1, heads) for t in qkv.split(self.depths, dim=1))
        logits = self.batch_norm_similarity(torch.einsum("bhdl,bhdm->bhlm", query, key))
        weights = logits.float().softmax(-1).to(value.dtype)
        retrieved = torch.einsum("bhlm,bhdm->bhdl", weights, value).flatten(1, 2)
        return F.gelu(self.batch_norm_retrieved_value(retrieved))


class KMeansLayer(nn.Module):
    """One iteration of k-means cross-attention, self-attention and feed-forward network.

    Args:
        pixel_channels: of the pixel feature.
        num_classes: K, without void.
        norm: maker of the norms.
        drop_path: drop probability of each of the three residual updates.
    """

    def __init__(self, pixel_channels: int, num_classes: int, *, norm: Norm, drop_path: float):
        super().__init__()
        query = {"norm": norm, "kind": nn.Conv1d}
        self.query_conv1_bn_act = ConvBN(CHANNELS, CHANNELS, gelu=True, **query)
        self.pixel_conv1_bn_act = ConvBN(pixel_channels, CHANNELS, norm=norm, gelu=True)
        self.pixel_v_conv_bn = ConvBN(CHANNELS, CHANNELS, norm=norm)
        self.predictor = MaskPredictor(CHANNELS, num_classes, norm=norm, channels=CHANNELS)
        self.kmeans_query_batch_norm_retrieved_value = norm(CHANNELS)
        self.kmeans_query_conv3_bn = zero_init(ConvBN(CHANNELS, CHANNELS, **query))
        self.query_qkv_conv_bn = ConvBN(CHANNELS, 2 * CHANNELS, **query)
        self.query_self_attention = QuerySelfAttention(
            key_depth=CHANNELS // 2, value_depth=CHANNELS, norm=norm
        )
        self.query_conv3_bn = zero_init(ConvBN(CHANNELS, CHANNELS, **query))
        self.query_ffn_conv1_bn_act = ConvBN(CHANNELS, 8 * CHANNELS, gelu=True, **query)
        self.query_ffn_conv2_bn = zero_init(ConvBN(8 * CHANNELS, CHANNELS, **query))
        self.drop_path = DropPath(drop_path)
        for projection in (self.query_qkv_conv_bn, self.pixel_v_conv_bn):
            init_conv(projection.conv, std=CHANNELS**-0.5)

    def forward(self, centers: Tensor, pixel_feature: Tensor) -> tuple[Tensor, Prediction]:
        """Updates the cluster centres.

        Args:
            centers: (B, 256, Q).
            pixel_feature: (B, C_p, H, W).

        Returns:
            the updated centres and the prediction made on the way.
        """
        pixels = self.pixel_conv1_bn_act(F.gelu(pixel_feature))
        queries = self.query_conv1_bn_act(centers)
        prediction = self.predictor(queries, queries, pixels)
        centers = centers + self.drop_path(self._kmeans_update(pixels, prediction.mask_logits))
        attended = self.query_self_attention(self.query_qkv_conv_bn(queries))
        centers = F.gelu(centers + self.drop_path(self.query_conv3_bn(attended)))
        hidden = self.query_ffn_conv2_bn(self.query_ffn_conv1_bn_act(centers))
        return F.gelu(centers + self.drop_path(hidden)), prediction

    def _kmeans_update(self, pixels: Tensor, mask_logits: Tensor) -> Tensor:
        """Assigns pixels to clusters, without gradient; projects their sums, (B, 256, Q)."""
        assignment = mask_logits.detach().argmax(1)  # (B, H, W)
        values = self.pixel_v_conv_bn(pixels)
        update = sum_pixels_of_clusters(assignment, values, mask_logits.shape[1])
        return self.kmeans_query_conv3_bn(self.kmeans_query_batch_norm_retrieved_value(update))


class TransformerDecoder(Recomputing):
    """Clusters the pixel features of strides 32, 16 and 8, then predicts on the finest one.

    Args:
        in_channels: channels of the three features and of the finest one.
        num_classes: K, without void.
        num_queries: Q.
        depths: k-means layers on each of the three features.
        norm: maker of the norms.
        drop_path: drop probability of the residual updates.
        semantic_predictor: the auxiliary head, used in training only; None leaves it out.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        num_queries: int,
        depths: Sequence[int],
        norm: Norm,
        drop_path: float = 0.0,
        semantic_predictor: nn.Module | None = None,
    ):
        super().__init__()
        self.cluster_centers = nn.Embedding(CHANNELS, num_queries)
        draw_normal(self.cluster_centers.weight, std=1.0)
        self.depths = list(depths)
        self.kmax_transformer_layers = nn.ModuleList(
            KMeansLayer(channels, num_classes, norm=norm, drop_path=drop_path)
            for channels, depth in zip(in_channels, depths, strict=False)
            for _ in range(depth)
        )
        projection = {"norm": norm, "gelu": True, "kind": nn.Conv1d}
        self.class_embedding_projection = ConvBN(CHANNELS, CHANNELS, **projection)
        self.mask_embedding_projection = ConvBN(CHANNELS, CHANNELS, **projection)
        finest = in_channels[-1]
        self.predictor = MaskPredictor(finest, num_classes, norm=norm, channels=CHANNELS)
        self.auxiliary_semantic_predictor = semantic_predictor

    def forward(self, features: Sequence[Tensor], finest: Tensor) -> list[Prediction]:
        """Iterates k-means.

        Args:
            features: three (B, C_i, H_i, W_i), coarse to fine.
            finest: (B, C, H, W), what the final masks are predicted on.

        Returns:
            one prediction per k-means layer, then the final one.
        """
        centers = self.cluster_centers.weight.expand(finest.shape[0], -1, -1)  # (B, 256, Q)
        inputs = [f for f, depth in zip(features, self.depths, strict=True) for _ in range(depth)]
        predictions = []
        for layer, feature in zip(self.kmax_transformer_layers, inputs, strict=True):
            centers, prediction = self.run(layer, centers, feature)
            predictions.append(prediction)
        classes = self.class_embedding_projection(centers)
        masks = self.mask_embedding_projection(centers)
        return [*predictions, self.run(self.predictor, classes, masks, finest)]
