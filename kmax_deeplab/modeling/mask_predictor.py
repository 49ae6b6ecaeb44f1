"""Predictor: pixel feature and cluster embeddings in, one `Prediction` out (paper section 3.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmax_deeplab.modeling.cpu.depthwise import DepthwiseConv2d
from kmax_deeplab.modeling.layers import ConvBN, Norm, init_conv, without_autocast
from kmax_deeplab.structures import Prediction

PIXEL_SPACE_CHANNELS = 128
"""Channels in which a pixel is compared with a cluster centre."""

VOID_PRIOR = 0.9
"""Share of queries that start out as void; sets the constant bias of the void logit."""


class MaskPredictor(nn.Module):
    """Compares L2-normalised pixel features with the mask kernels of the clusters.

    Args:
        pixel_channels: of the pixel feature.
        num_classes: K, without void.
        norm: maker of the norms.
        channels: of the cluster embeddings and of the pixel space's hidden layers.
    """

    def __init__(self, pixel_channels: int, num_classes: int, *, norm: Norm, channels: int):
        super().__init__()
        self.pixel_space_head_conv0bnact = ConvBN(
            pixel_channels, pixel_channels, 5, norm=norm, gelu=True, kind=DepthwiseConv2d
        )
        self.pixel_space_head_conv1bnact = ConvBN(pixel_channels, channels, norm=norm, gelu=True)
        self.pixel_space_head_last_convbn = ConvBN(
            channels, PIXEL_SPACE_CHANNELS, norm=norm, bias=True
        )
        self.transformer_mask_head = ConvBN(
            channels, PIXEL_SPACE_CHANNELS, norm=norm, kind=nn.Conv1d
        )
        self.transformer_class_head = ConvBN(
            channels, num_classes + 1, norm=None, bias=True, kind=nn.Conv1d
        )
        self.pixel_space_mask_batch_norm = norm(1)
        init_conv(self.pixel_space_head_last_convbn.conv, std=0.01)
        init_conv(self.transformer_class_head.conv, std=0.01)
        nn.init.constant_(self.pixel_space_mask_batch_norm.weight, 0.1)
        void_bias = torch.zeros(num_classes + 1)
        void_bias[-1] = math.log(num_classes * VOID_PRIOR / (1 - VOID_PRIOR))
        self.register_buffer("void_bias", void_bias, persistent=False)

    def forward(
        self, class_embedding: Tensor, mask_embedding: Tensor, pixel_feature: Tensor
    ) -> Prediction:
        """Predicts classes and masks of all clusters.

        Args:
            class_embedding: (B, C, Q).
            mask_embedding: (B, C, Q).
            pixel_feature: (B, C_p, H, W).
        """
        pixels = self.pixel_space_head_conv1bnact(self.pixel_space_head_conv0bnact(pixel_feature))
        pixels = F.normalize(self.pixel_space_head_last_convbn(pixels), dim=1)
        kernels = self.transformer_mask_head(mask_embedding)
        mask_logits = compare_pixels(pixels, kernels)
        mask_logits = self.pixel_space_mask_batch_norm(mask_logits.unsqueeze(1)).squeeze(1)
        class_logits = self.transformer_class_head(class_embedding).transpose(1, 2)  # (B, Q, K+1)
        return Prediction(class_logits + self.void_bias, mask_logits, pixels)


def compare_pixels(pixels: Tensor, kernels: Tensor) -> Tensor:
    """Computes the mask logits, in float32 where the features are bfloat16.

    With its 8 bits many a pixel would belong to another cluster.

    Args:
        pixels: (B, C, H, W).
        kernels: (B, C, Q).

    Returns:
        (B, Q, H, W).
    """
    if kernels.dtype == torch.bfloat16:
        with without_autocast(pixels):
            return torch.einsum("bchw,bcq->bqhw", pixels.float(), kernels.float())
    return torch.einsum("bchw,bcq->bqhw", pixels, kernels)
